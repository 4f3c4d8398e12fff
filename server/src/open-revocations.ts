import type { RunnerPlane } from "./api/runner-plane.ts";
import type { Config } from "./config.ts";
import { openRevocationReader } from "./loops/enforce-revocations.ts";
import type { openPlacing } from "./open-placing.ts";
import type { State } from "./open-state.ts";
import type { RevocationReason } from "./store/identities.ts";

export type RevocationsOptions = {
  config: Config;
  state: State;
  placing: Awaited<ReturnType<typeof openPlacing>>;
  runnerPlane: RunnerPlane;
};

/** How long a revoked session may take to hear why it ends; of the second in which a revocation reaches everybody. */
const lastWords_ms = 150;
const lastWordsOf: Record<RevocationReason, string> = {
  IDENTITY_REVOKED: "this identity was revoked",
  RUNNER_LOCKED: "this identity was revoked",
  IDENTITY_SUPERSEDED: "a later identity of this runner took over",
};

/** The loop that cuts whoever is connected here with an identity that counts no more. */
export async function openRevocations({ config, state: { sql }, placing, runnerPlane }: RevocationsOptions) {
  const { registry, runLoop, notifications } = placing;
  const reader = await openRevocationReader({
    sql,
    keysOf: (runnerId) => runnerPlane.keysOf(runnerId),
    disconnect: (runnerId, reason, keys) => {
      const session = registry.get(runnerId);
      if (session && keys.includes(session.spkiSha256)) session.end(reason, lastWordsOf[reason]);
      runnerPlane.disconnect({ id: runnerId, keys }, reason, lastWords_ms);
    },
    disconnectAll: (why) => runnerPlane.disconnectAll(why),
  });
  const revocations = runLoop("enforce-revocations", config.revocationPeriod_ms, () => reader.run());
  notifications.on("revocations", () => revocations.signal());
  return revocations;
}
