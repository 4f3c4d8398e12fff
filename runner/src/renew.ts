import { createClient, type Transport } from "@connectrpc/connect";
import { RunnersService } from "../../proto/gen/agyn/runners/v1/runners_service_pb.ts";
import { ensurePendingKey, toStoredIdentity } from "./identity-keys.ts";
import type { IdentityStore, StoredIdentity } from "./identity-store.ts";

/** Time for the call, in ms. */
const renewTimeoutMs = 20_000;
/** The part of the time until renewal by which it may come earlier, so that a fleet does not renew at once. */
const renewJitter = 0.1;

/** In how many ms to renew. `random` is in [0, 1). */
export function renewInMs({ renewTimeMs }: StoredIdentity, nowMs: number, random: number): number {
  return Math.max(0, (renewTimeMs - nowMs) * (1 - renewJitter * random));
}

/** Renews the identity over the live connection, with a new key that is kept first; what is answered is kept, too. */
export async function renewIdentity(deps: {
  transport: Transport;
  store: IdentityStore;
  signal: AbortSignal;
}): Promise<StoredIdentity> {
  const { transport, store, signal } = deps;
  const kept = store.load();
  if (kept?.identity === undefined) throw new Error("there is no identity to renew");
  const { runnerId, identity } = kept;
  const pending = ensurePendingKey(store, runnerId);
  const csr = Buffer.from(pending.csrBase64, "base64");
  const answer = await createClient(RunnersService, transport).renewIdentity(
    { csr },
    { signal, timeoutMs: renewTimeoutMs },
  );

  const renewed = toStoredIdentity(answer.identity, pending, identity);
  store.save({ version: 1, runnerId, identity: renewed });
  return renewed;
}
