import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import { isWildcard, type Address, type Config } from "./config.ts";
import { addressText } from "./start-failure.ts";

/**
 * The URL by which programs of this machine reach the user port. A port that listens on every address is reached on loopback; with TLS
 * the host is one that the certificate names, of this machine if it names one.
 */
export function gatewayOf(listening: Address, tls: Config["tls"]): string {
  const host = reachableHost(listening.host);
  if (tls === undefined) return `http://${addressText({ host, port: listening.port })}`;
  const certificate = new X509Certificate(readFileSync(tls.cert));
  const named = namesOf(certificate);
  const own = [host, "localhost", "127.0.0.1", "::1"].find((name) => isNamed(certificate, name));
  return `https://${addressText({ host: own ?? named[0] ?? host, port: listening.port })}`;
}

/** The host itself, or loopback where it stands for every address. */
export function reachableHost(host: string): string {
  if (!isWildcard(host)) return host;
  return isIP(host) === 6 ? "::1" : "127.0.0.1";
}

function isNamed(certificate: X509Certificate, name: string): boolean {
  return (isIP(name) === 0 ? certificate.checkHost(name) : certificate.checkIP(name)) !== undefined;
}

/** The names of the certificate that are not patterns; those of the network before addresses. */
function namesOf({ subjectAltName = "" }: X509Certificate): string[] {
  const entries = subjectAltName.split(", ");
  const hosts = entries.flatMap((entry) => (entry.startsWith("DNS:") ? [entry.slice(4)] : []));
  const addresses = entries.flatMap((entry) => (entry.startsWith("IP Address:") ? [entry.slice(11)] : []));
  return [...hosts.filter((host) => !host.includes("*")), ...addresses];
}
