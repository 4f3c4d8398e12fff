import { rm } from "node:fs/promises";
import { isIP } from "node:net";
import { join } from "node:path";
import { isWildcard, type Address } from "./config.ts";
import { writeSecretFile } from "./data-directory.ts";
import { addressText } from "./start-failure.ts";
import type { TlsMaterial } from "./tls-material.ts";

/**
 * The URL by which programs of this machine reach the user port, which on every address is that of loopback. Left in `directory` for
 * them, with the certificate that they will be shown: they know it by itself, whatever name it carries and whoever signed it.
 */
export async function announceGateway(
  directory: string,
  { host, port }: Address,
  tls: TlsMaterial | undefined,
): Promise<string> {
  const gateway = `${tls === undefined ? "http" : "https"}://${addressText({ host: reachableHost(host), port })}`;
  const certificateFile = join(directory, "gateway.crt");
  if (tls === undefined) await rm(certificateFile, { force: true });
  else await writeSecretFile(certificateFile, tls.cert);
  await writeSecretFile(join(directory, "gateway"), `${gateway}\n`);
  return gateway;
}

/** The host itself, or loopback where it stands for every address. */
export function reachableHost(host: string): string {
  if (!isWildcard(host)) return host;
  return isIP(host) === 6 ? "::1" : "127.0.0.1";
}
