import { randomBytes } from "node:crypto";
import type { MasterKey } from "../identity/master-key.ts";
import type { TriggerRow } from "../store/triggers.ts";

const secretBytes = 32;

/** A webhook's new secret, and how it is kept: sealed, since signatures are checked with it (I6). */
export function createSecret(triggerId: string, masterKey: MasterKey): { secret: string; sealed: Uint8Array } {
  const secret = randomBytes(secretBytes).toString("hex");
  return { secret, sealed: masterKey.seal(Buffer.from(secret), context(triggerId)) };
}

/** Throws where the key that sealed it is not at hand. */
export function openSecret(
  { id, sealedSecret }: Pick<TriggerRow, "id" | "sealedSecret">,
  masterKey: MasterKey,
): string {
  if (!sealedSecret) return "";
  const opened = masterKey.open(sealedSecret, context(id));
  if ("error" in opened) throw new Error(`secret of trigger ${id}: ${opened.error}`);
  return Buffer.from(opened).toString();
}

/** How a forge's token for reports is kept. */
export function sealCredential(triggerId: string, credential: string, masterKey: MasterKey): Uint8Array {
  return masterKey.seal(Buffer.from(credential), `trigger/${triggerId}/credential`);
}

/** Throws where there is none, or the key that sealed it is not at hand. */
export function openCredential(
  { triggerId, sealedCredential }: { triggerId: string; sealedCredential: Uint8Array | null },
  masterKey: MasterKey,
): string {
  if (!sealedCredential) throw new Error(`trigger ${triggerId} has no credential: set one`);
  const opened = masterKey.open(sealedCredential, `trigger/${triggerId}/credential`);
  if ("error" in opened) throw new Error(`credential of trigger ${triggerId}: ${opened.error}`);
  return Buffer.from(opened).toString();
}

function context(triggerId: string): string {
  return `trigger/${triggerId}/secret`;
}
