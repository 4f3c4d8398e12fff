import { randomBytes } from "node:crypto";
import type { MasterKey } from "./master-key.ts";

const keyBytes = 32;

/** A webhook's new key, and how it is kept: sealed, since requests are signed with it (I6). */
export function createWebhookKey(webhookId: string, masterKey: MasterKey): { key: Uint8Array; sealed: Uint8Array } {
  const key = randomBytes(keyBytes);
  return { key, sealed: masterKey.seal(key, webhookKeyContext(webhookId)) };
}

/** Throws where the master key that sealed it is not at hand. */
export function openWebhookKey(webhookId: string, sealed: Uint8Array, masterKey: MasterKey): Uint8Array {
  const opened = masterKey.open(sealed, webhookKeyContext(webhookId));
  if ("error" in opened) throw new Error(`secret of webhook ${webhookId}: ${opened.error}`);
  return opened;
}

/** What a webhook's sealed key is bound to. */
export function webhookKeyContext(webhookId: string): string {
  return `webhook/${webhookId}/secret`;
}
