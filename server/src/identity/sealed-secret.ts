import type { SealedSecret, SecretScope } from "../store/secrets.ts";
import type { MasterKey } from "./master-key.ts";

/** Seals a secret's value, bound to where it belongs and to its name (I6). */
export function sealSecret(value: string, masterKey: MasterKey, of: SecretScope & { name: string }): Uint8Array {
  return masterKey.seal(Buffer.from(value), secretContext(of));
}

/** The value of a sealed secret. */
export function openSecret(secret: SealedSecret, masterKey: MasterKey): string {
  const opened = masterKey.open(secret.sealed, secretContext(secret));
  if ("error" in opened) throw new Error(`secret ${secret.name} of ${scopeName(secret)}: ${opened.error}`);
  return Buffer.from(opened).toString();
}

/** What a secret's sealed value is bound to. */
export function secretContext(of: SecretScope & { name: string }): string {
  return `${scopeName(of)}/secret/${of.name}`;
}

function scopeName({ organizationId, projectId }: SecretScope): string {
  return `organization/${organizationId}${projectId === null ? "" : `/project/${projectId}`}`;
}
