import pino from "pino";
import { masterKeyOf } from "../../server/src/identity/master-key.ts";
import { createRunAdvancer } from "../../server/src/loops/advance-runs.ts";
import type { AdvanceDeps } from "../../server/src/runs/advance-run.ts";
import { createCancelRun } from "../../server/src/runs/cancel-run.ts";
import { startRun, type StartDeps } from "../../server/src/runs/start-run.ts";
import { claimJobs } from "../../server/src/store/job-claims.ts";
import { getJob, listJobsOfAttempt, type JobRow } from "../../server/src/store/jobs.ts";
import { acquireLeadership } from "../../server/src/store/leader.ts";
import { insertOrganization } from "../../server/src/store/organizations.ts";
import type { Project } from "../../server/src/store/projects.ts";
import { getRun, type RunRow } from "../../server/src/store/runs.ts";
import { decreedEnding, endWorkloads } from "../../server/src/store/workload-transitions.ts";
import { requestStop } from "../../server/src/store/workloads.ts";
import { createId } from "../../wire/ids.ts";
import { createTestDatabase } from "../support/postgres.ts";

/** Runs on a real store without a server: what the leader's loops would do is done when a test asks for it. */
export async function createRunWorld() {
  const database = await createTestDatabase();
  const { sql } = database;
  const writer = { replicaId: createId("replica"), storeEpoch: 1 };
  const guard = (await acquireLeadership(sql, writer.replicaId, 600_000, true))!;
  const organization = await insertOrganization(sql, "acme", null);
  const advanceDeps: AdvanceDeps = {
    sql,
    masterKey: masterKeyOf(Buffer.alloc(32, 1)),
    readSecrets: () => Promise.resolve(new Map()),
    queueTimeout_ms: 3_600_000,
    artifactRetention_ms: 3_600_000,
  };
  const stop = async (ids: readonly string[], reason: string) => {
    for (const id of ids) await requestStop(sql, id, { reason, grace_ms: null, writer: writer.replicaId });
  };
  const startDeps: StartDeps = {
    ...advanceDeps,
    allowFileSources: false,
    readBundleFile: () => Promise.reject(new Error("there are no bundles")),
    queueDepth: () => 0,
    onAdvanced: () => undefined,
  };
  const cancelRun = createCancelRun({
    ...startDeps,
    liveWorkloads: () => Promise.resolve([]),
    stopWorkloads: (ids, { reason }) => stop(ids, reason),
  });
  const stopping = new Set<Promise<void>>();
  const advance = createRunAdvancer({
    ...startDeps,
    log: pino({ level: "silent" }),
    leads: () => true,
    cancelRun,
    onAdvanced: ({ stops }) => {
      for (const { workloadId, reason } of stops) stopping.add(stop([workloadId], reason));
    },
  });
  const jobs = async (run: Pick<RunRow, "id">): Promise<Record<string, JobRow>> => {
    const { attempt } = (await getRun(sql, run.id))!;
    return Object.fromEntries((await listJobsOfAttempt(sql, run.id, attempt)).map((job) => [job.name, job]));
  };
  return {
    ...{ database, sql, writer, guard, organization, startDeps, cancelRun, advance, jobs },
    start(text: string, project?: Project, organizationId = organization.id): Promise<RunRow> {
      const cause = { kind: "manual", userId: "usr_1", triggerId: "", deliveryId: "", event: "" } as const;
      const nothing = { ref: "", bundleDigest: "", inputs: {}, labels: {}, name: "", priority: 0, event: null };
      const asked = {
        organizationId,
        project,
        pipeline: "pipeline.yaml",
        content: Buffer.from(text),
        cause,
        ...nothing,
      };
      return startRun(startDeps, asked);
    },
    run: async (run: Pick<RunRow, "id">): Promise<RunRow> => (await getRun(sql, run.id))!,
    states: async (run: Pick<RunRow, "id">) =>
      Object.fromEntries(Object.entries(await jobs(run)).map(([name, job]) => [name, job.state])),
    /** Claims queued jobs for a runner; answers the ids of those that were. */
    claim: async (ids: readonly string[]): Promise<string[]> =>
      (
        await claimJobs(
          sql,
          writer,
          guard,
          ids.map((jobId) => ({ jobId, workloadId: createId("workload"), runnerId: "rnr_1", isHere: true })),
        )
      ).map((one) => one.jobId),
    /** Ends the workload of a job that runs. */
    async end(job: Pick<JobRow, "id">, phase: "succeeded" | "failed" | "lost"): Promise<void> {
      const { workloadId, workloadKey } = (await getJob(sql, job.id))!;
      const terms = { phaseIfStopped: "cancelled", messageIfStopped: "stopped" } as const;
      await endWorkloads(sql, writer, [
        { ...decreedEnding({ id: workloadId!, fence: workloadKey! }, phase, ""), ...terms },
      ]);
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(stopping);
      await database.drop();
    },
  };
}
