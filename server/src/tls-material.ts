import { createPrivateKey, X509Certificate, type KeyObject } from "node:crypto";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { createSecureContext } from "node:tls";
import { ConfigError, type Config } from "./config.ts";

/** Certificate chain and key of the user port, in PEM. */
export type TlsMaterial = { cert: string; key: string };

/** Reads what the user port shows. A `ConfigError` names the file and what is wrong with it, before anything is started. */
export function readTlsMaterial({ cert, key }: NonNullable<Config["tls"]>, now: Date): TlsMaterial {
  const material = { cert: read("tls_cert", cert), key: read("tls_key", key) };
  const leaf = parseCertificate(cert, material.cert);
  if (now < leaf.validFromDate)
    throw new ConfigError(
      `tls_cert: ${cert} is not valid before ${leaf.validFromDate.toISOString()}: is this machine's clock right?`,
    );
  if (now > leaf.validToDate)
    throw new ConfigError(`tls_cert: ${cert} expired at ${leaf.validToDate.toISOString()}: give one that is valid`);
  if (!leaf.checkPrivateKey(parseKey(key, material.key)))
    throw new ConfigError(`tls_key: ${key} is not the key of the first certificate in ${cert}`);
  try {
    createSecureContext(material);
  } catch (error) {
    throw new ConfigError(`tls_cert: ${cert} cannot be used with ${key}: ${(error as Error).message}`);
  }
  return material;
}

function read(name: string, path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT")
      throw new ConfigError(`${name}: there is no file ${resolve(path)}: make it, or name another`);
    throw new ConfigError(`${name}: ${path} cannot be read (${code})`);
  }
}

function parseCertificate(path: string, pem: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch {
    throw new ConfigError(`tls_cert: ${path} does not begin with a certificate in PEM (-----BEGIN CERTIFICATE-----)`);
  }
}

function parseKey(path: string, pem: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ERR_MISSING_PASSPHRASE" || pem.includes("ENCRYPTED"))
      throw new ConfigError(`tls_key: ${path} is encrypted with a passphrase: give the key without one`);
    throw new ConfigError(`tls_key: ${path} holds no private key in PEM (-----BEGIN PRIVATE KEY-----)`);
  }
}
