import type { Logger } from "pino";
import { reportSuperseded } from "./api/report-superseded.ts";
import type { RunnerPlane } from "./api/runner-plane.ts";
import type { Config } from "./config.ts";
import { openRevocationReader } from "./loops/enforce-revocations.ts";
import type { openPlacing } from "./open-placing.ts";
import type { State } from "./open-state.ts";
import { findGeneration, type RevocationReason } from "./store/identities.ts";
import { getRunner } from "./store/runners.ts";

export type RevocationsOptions = {
  config: Config;
  state: State;
  placing: Awaited<ReturnType<typeof openPlacing>>;
  runnerPlane: RunnerPlane;
  log: Logger;
};

/** How long a revoked session may take to hear why it ends; of the second in which a revocation reaches everybody. */
const lastWords_ms = 150;
const lastWordsOf: Record<RevocationReason, string> = {
  IDENTITY_REVOKED: "this identity was revoked",
  RUNNER_LOCKED: "this identity was revoked",
  IDENTITY_SUPERSEDED: "a later identity of this runner took over",
};

/** The loop that cuts whoever is connected here with an identity that counts no more. */
export async function openRevocations({ config, state: { sql }, placing, runnerPlane, log }: RevocationsOptions) {
  const { registry, runLoop, notifications } = placing;
  // Who is cut off hears why, and may not come again to be refused. It is cut off whether this can be written or not.
  const report = async (runnerId: string, key: string) => {
    const [runner, generation] = await Promise.all([getRunner(sql, runnerId), findGeneration(sql, key)]);
    if (!runner || generation?.state !== "superseded") return;
    await reportSuperseded(sql, runner, generation, runnerPlane.sourceOf(runnerId, key));
  };
  const reader = await openRevocationReader({
    sql,
    keysOf: (runnerId) => runnerPlane.keysOf(runnerId),
    disconnect: async (runnerId, reason, keys) => {
      const reports = reason === "IDENTITY_SUPERSEDED" ? keys.map((key) => report(runnerId, key)) : [];
      await Promise.all(reports).catch((error: unknown) => log.error({ err: error }, "an event was not written"));
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
