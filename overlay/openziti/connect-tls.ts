import net from "node:net";
import tls from "node:tls";
import { codeOf, isCertificateFault, messageOf, OverlayError } from "../errors.ts";
import { connectTcp } from "../tcp.ts";
import { untilOpen } from "../until-open.ts";
import type { Credential, Router } from "./credential.ts";
import { edgeProtocol } from "./protocol.ts";

/** Opens TLS to a router, which must show a certificate for its host. Rejects with an `OverlayError`, or with the reason of `signal`. */
export async function connectTls(router: Router, credential: Credential, signal: AbortSignal): Promise<tls.TLSSocket> {
  try {
    const socket = tls.connect({
      socket: await connectTcp(router, signal),
      host: router.host,
      ...(net.isIP(router.host) === 0 && { servername: router.host }),
      key: credential.keyPem,
      cert: credential.certPem,
      ca: credential.caPem,
      minVersion: "TLSv1.2",
      ALPNProtocols: [edgeProtocol],
    });
    return await untilOpen(socket, "secureConnect", signal);
  } catch (error) {
    signal.throwIfAborted();
    throw readTlsError(error, `router ${router.name} (${router.host}:${router.port})`);
  }
}

/** What a connection to `where` failed with, as an `OverlayError`. */
export function readTlsError(error: unknown, where: string): OverlayError {
  if (error instanceof OverlayError) return error;
  const code = codeOf(error);
  const options = { cause: error };
  if (/ALERT_(BAD_CERT|CERT|UNKNOWN_CA|ACCESS)|ALERT_.*CERTIFICATE/.test(code))
    return new OverlayError("unauthorized", `${where} does not take our certificate: ${messageOf(error)}`, options);
  if (isCertificateFault(error) || code === "ERR_TLS_CERT_ALTNAME_INVALID")
    return new OverlayError("peer_untrusted", `${where} is not to be trusted: ${messageOf(error)}`, options);
  if (/^(ECONNREFUSED|ENOTFOUND|EHOSTUNREACH|ENETUNREACH|EAI_AGAIN|ETIMEDOUT|EADDRNOTAVAIL)$/.test(code))
    return new OverlayError("unreachable", `cannot reach ${where}: ${messageOf(error)}`, options);
  return new OverlayError("broken", `the connection to ${where} broke: ${messageOf(error)}`, options);
}
