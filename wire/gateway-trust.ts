import { X509Certificate } from "node:crypto";
import { checkServerIdentity, type ConnectionOptions } from "node:tls";

/** For `tls.connect`, and whatever passes its options on. */
export type GatewayTrust = Pick<
  ConnectionOptions & { allowPartialTrustChain?: boolean },
  "ca" | "allowPartialTrustChain" | "checkServerIdentity"
>;

/**
 * How a client knows the gateway by TLS, from certificates in PEM: those of the authorities that sign its certificate, or that
 * certificate itself. Who shows the latter has its key, so that its host may then be any, such as loopback.
 */
export function gatewayTrust(pem: string): GatewayTrust | { readonly error: string } {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length === 0) return { error: "holds no certificate in PEM (-----BEGIN CERTIFICATE-----)" };
  try {
    const known = blocks.map((block) => new X509Certificate(block).raw);
    return {
      ca: blocks,
      allowPartialTrustChain: true,
      checkServerIdentity: (host, shown) =>
        known.some((one) => one.equals(shown.raw)) ? undefined : checkServerIdentity(host, shown),
    };
  } catch {
    return { error: "holds a certificate that cannot be read" };
  }
}
