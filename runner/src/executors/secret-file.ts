/**
 * The secrets of a job that runs, for a runner that adopts it and must go on hiding them in its output. The file holds the values of
 * the secret variables, in their order, as JSON under AES-256-GCM, bound to the workload and its fence:
 *
 *     nonce (12 bytes) · ciphertext · tag (16 bytes)
 */
import { Buffer } from "node:buffer";
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";

import type { EnvironmentVariable, WorkloadSpec } from "./executor.ts";

/** Of AES-256. */
export const sealingKeyBytes = 32;
const nonceBytes = 12;
const tagBytes = 16;

/** Writes the file where there are secrets. */
export function writeSecrets(path: string, spec: WorkloadSpec, key: Uint8Array): void {
  const values = spec.env.filter(({ secret }) => secret).map(({ value }) => value);
  if (values.length === 0) return;
  const nonce = randomBytes(nonceBytes);
  const cipher = createCipheriv("aes-256-gcm", key, nonce).setAAD(contextOf(spec));
  const sealed = Buffer.concat([nonce, cipher.update(JSON.stringify(values)), cipher.final(), cipher.getAuthTag()]);
  writeFileSync(path, sealed, { mode: 0o600, flag: "wx" });
}

/** The environment of a spec without secret values, with them; `undefined` where they cannot be had. */
export function readSecrets(path: string, spec: WorkloadSpec, key: Uint8Array): EnvironmentVariable[] | undefined {
  const secrets = spec.env.filter(({ secret }) => secret);
  if (secrets.length === 0) return spec.env;
  try {
    const sealed = readFileSync(path);
    const cipher = createDecipheriv("aes-256-gcm", key, sealed.subarray(0, nonceBytes))
      .setAAD(contextOf(spec))
      .setAuthTag(sealed.subarray(-tagBytes));
    const text = Buffer.concat([cipher.update(sealed.subarray(nonceBytes, -tagBytes)), cipher.final()]).toString();
    const values = JSON.parse(text) as string[];
    return secrets.map((variable, index) => ({ ...variable, value: values[index] ?? "" }));
  } catch {
    return undefined;
  }
}

function contextOf({ workloadId, fence }: WorkloadSpec): Buffer {
  return Buffer.from(`${workloadId}.${fence}`);
}
