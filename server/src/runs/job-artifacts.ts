/* What the jobs of a run keep, and what later ones get of it. */
import { fromBinary } from "@bufbuild/protobuf";
import { durationMs } from "@bufbuild/protobuf/wkt";
import { WorkloadSpecSchema } from "../../../proto/gen/agyn/orchestrator/v1/workload_pb.ts";
import type { Artifacts, PlannedJob, ResolvedJob } from "../../../pipelines/pipeline.ts";
import { artifactNameFault, nameKey } from "../../../wire/artifact-name.ts";
import { createId } from "../../../wire/ids.ts";
import { hasJobEnded } from "../domain/run-state.ts";
import { insertArtifact, listWorkloadArtifacts, type ArtifactRow } from "../store/artifacts.ts";
import { getBundle, noteBundle } from "../store/bundles.ts";
import type { SqlOrTransaction } from "../store/database.ts";
import type { HeldJob, JobChange } from "../store/jobs.ts";
import type { RunRow } from "../store/runs.ts";
import { getWorkload } from "../store/workloads.ts";
import { jobsBefore } from "./decide-run.ts";
import type { Download } from "./job-workload.ts";

type Standing = {
  held: readonly HeldJob[];
  plan: ReadonlyMap<string, PlannedJob>;
  changes: ReadonlyMap<string, JobChange>;
};

/** Files that a run starts with. */
type Bundle = { sha256: string; sizeBytes: bigint };

/** Outcomes of workloads in whose workspace there is something to keep. */
const kept = new Set(["exited", "signalled", "timed_out", "stopped", "runner_stopped"]);

/** Puts the artifacts of jobs that just ended on record, and reads those that other jobs may ask for. */
export async function takeArtifacts(
  sql: SqlOrTransaction,
  standing: Standing & { retention_ms: number },
): Promise<ArtifactRow[]> {
  await expectArtifacts(sql, standing);
  return artifactsOf(sql, standing);
}

/** What a job starts with; `problem`: why it cannot. */
export function filesOf(
  run: Pick<RunRow, "bundleDigest">,
  planned: PlannedJob,
  { job, bundle, ...known }: Known & { job: Pick<ResolvedJob, "artifacts">; bundle: Bundle | undefined },
): { bundle: Bundle | undefined; downloads: Download[]; problem: string | undefined } {
  const found = resolveDownloads(planned, job.artifacts, known);
  const fault = uploadFault(job.artifacts) ?? bundleFault(run, bundle);
  if ("problem" in found) return { bundle, downloads: [], problem: fault ?? found.problem };
  return { bundle, ...found, problem: fault };
}

/** Those who want them wait for them. */
async function expectArtifacts(
  sql: SqlOrTransaction,
  { held, plan, changes, retention_ms }: Standing & { retention_ms: number },
): Promise<void> {
  for (const row of held) {
    const change = changes.get(row.id);
    const isMaker = plan.get(row.name)!.definition.artifacts.upload.length > 0;
    if (!isMaker || row.state !== "running" || !change || !hasJobEnded(change.state)) continue;
    const workload = await getWorkload(sql, row.workloadId!);
    if (!workload || !kept.has(workload.result?.outcome ?? "")) continue;
    for (const upload of fromBinary(WorkloadSpecSchema, workload.spec).artifacts?.uploads ?? []) {
      await insertArtifact(sql, {
        id: createId("artifact"),
        organizationId: row.organizationId,
        runId: row.runId,
        jobId: row.id,
        workloadId: workload.id,
        fence: workload.fence,
        name: upload.name,
        nameKey: nameKey(upload.name),
        directory: false,
        retention_ms: upload.retention ? durationMs(upload.retention) : null,
        defaultRetention_ms: retention_ms,
      });
    }
  }
}

/** The artifacts of the ended jobs that others may ask for; none where none does. */
async function artifactsOf(sql: SqlOrTransaction, { held, plan, changes }: Standing): Promise<ArtifactRow[]> {
  if (![...plan.values()].some((one) => one.definition.artifacts.download.length > 0)) return [];
  const makers = held.filter((row) => {
    const isMaker = plan.get(row.name)!.definition.artifacts.upload.length > 0;
    return isMaker && row.workloadId !== null && hasJobEnded((changes.get(row.id) ?? row).state);
  });
  if (makers.length === 0) return [];
  return listWorkloadArtifacts(
    sql,
    makers.map((row) => row.workloadId!),
  );
}

type Known = {
  held: readonly Pick<HeldJob, "name" | "workloadId">[];
  plan: ReadonlyMap<string, PlannedJob>;
  artifacts: readonly ArtifactRow[];
};

/** The artifacts that a job asks for, of the last tries of the jobs before it; or why it cannot have one. */
function resolveDownloads(
  planned: PlannedJob,
  { download }: Artifacts<string>,
  { held, plan, artifacts }: Known,
): { downloads: Download[] } | { problem: string } {
  const byName = new Map([...plan].map(([name, one]) => [name, { planned: one }]));
  const before = new Map(jobsBefore(planned, byName).map((one) => [one.planned.name, one.planned.key]));
  const downloads: Download[] = [];
  for (const { job, name } of download) {
    const makers = held.filter((row) => before.has(row.name) && (job === null || before.get(row.name) === job));
    const found = artifacts.filter(
      (one) => one.name === name && makers.some((row) => row.workloadId === one.workloadId),
    );
    const complete = found.filter((one) => one.state === "complete");
    const wanted = `artifact ${JSON.stringify(name)}${job === null ? "" : ` of ${job}`}`;
    if (complete.length > 1) {
      const names = complete.map((one) => one.jobName).join(", ");
      return { problem: `${wanted} is of several jobs: ${names}; give each its own name` };
    }
    const [one] = complete;
    if (!one) return { problem: `${wanted} is not there: ${found[0]?.message || "no job before this one kept it"}` };
    downloads.push({
      name,
      artifactId: one.id,
      sha256: one.sha256!,
      sizeBytes: one.sizeBytes,
      directory: one.directory,
    });
  }
  return { downloads };
}

/** What is wrong with the names under which a job keeps artifacts, once expressions have made them. */
function uploadFault({ upload }: Artifacts<string>): string | undefined {
  const seen = new Map<string, string>();
  for (const { name } of upload) {
    const fault = artifactNameFault(name);
    if (fault !== undefined) return `artifact ${JSON.stringify(name)}: ${fault}`;
    const twin = seen.get(nameKey(name));
    if (twin !== undefined) {
      return `artifacts ${JSON.stringify(twin)} and ${JSON.stringify(name)} differ in a way that not every file system sees`;
    }
    seen.set(nameKey(name), name);
  }
  return undefined;
}

/** The files that every job of the run starts with. */
export async function bundleOf(
  sql: SqlOrTransaction,
  { organizationId, bundleDigest }: Pick<RunRow, "organizationId" | "bundleDigest">,
): Promise<Bundle | undefined> {
  if (bundleDigest === "") return undefined;
  const bundle = await getBundle(sql, organizationId, bundleDigest);
  if (bundle) await noteBundle(sql, organizationId, bundleDigest);
  return bundle && { sha256: bundle.sha256, sizeBytes: bundle.sizeBytes };
}

/** Why a run cannot start its jobs with its files. */
function bundleFault({ bundleDigest }: Pick<RunRow, "bundleDigest">, bundle: unknown): string | undefined {
  return bundleDigest === "" || bundle !== undefined ? undefined : `its bundle ${bundleDigest} is not there any more`;
}
