/* What runners send of the artifacts of their workloads, and what they may read: bound to (workload, fence) (I2, I5). */
import { fromBinary } from "@bufbuild/protobuf";
import { durationMs } from "@bufbuild/protobuf/wkt";
import { WorkloadSpecSchema, type WorkloadSpec } from "../../../proto/gen/agyn/orchestrator/v1/workload_pb.ts";
import { artifactNameFault, nameKey } from "../../../wire/artifact-name.ts";
import { createId } from "../../../wire/ids.ts";
import type { ContentStore } from "../blobs/content-store.ts";
import { AgynError, invalidField } from "../domain/errors.ts";
import { isTerminal } from "../domain/workload.ts";
import {
  findWorkloadArtifact,
  insertArtifact,
  setArtifactKind,
  settleArtifact,
  sumRunBytes,
  type ArtifactRow,
} from "../store/artifacts.ts";
import type { Sql, SqlOrTransaction } from "../store/database.ts";
import { getUpload, insertUpload } from "../store/uploads.ts";
import { getWorkload, type WorkloadRow } from "../store/workloads.ts";

/** A runner that was cut off brings what it has for so long after the end of a workload. */
const lateUpload_ms = 86_400_000;

export type ArtifactLimits = {
  artifactMaximum_bytes: number;
  runArtifactsMaximum_bytes: number;
  bundleMaximum_bytes: number;
  artifactRetention_ms: number;
  artifactUploadTimeout_ms: number;
};

export type WorkloadArtifactsDeps = {
  sql: Sql;
  contents: ContentStore;
  limits: ArtifactLimits;
  /** An artifact is complete, or there will be none: its run may go on. */
  onSettled: () => void;
};

/** An artifact as its runner names it. */
export type ArtifactOf = { workloadId: string; fence: bigint; name: string };

export type WorkloadArtifacts = ReturnType<typeof createWorkloadArtifacts>;

/** What runners send of artifacts, each call checked to be of a workload that its runner holds under that fence (I2, I5). */
export function createWorkloadArtifacts({ sql, contents, limits, onSettled }: WorkloadArtifactsDeps) {
  /** The artifact, where it still takes bytes. */
  const uploading = async (runnerId: string, of: ArtifactOf): Promise<ArtifactRow> => {
    await heldBy(sql, { ...of, runnerId });
    const artifact = await findWorkloadArtifact(sql, of);
    if (!artifact) throw new AgynError("NOT_FOUND", `artifact ${JSON.stringify(of.name)} was not begun`);
    if (artifact.state !== "uploading") {
      throw new AgynError("STATE", `artifact ${JSON.stringify(of.name)} is ${artifact.state} already`);
    }
    return artifact;
  };
  return {
    /** Begins or resumes an artifact that the workload's spec names; answers how far it is. */
    async create(
      runnerId: string,
      of: ArtifactOf,
      directory: boolean,
    ): Promise<{ received: bigint; row: ArtifactRow }> {
      const { workload, spec } = await heldBy(sql, { ...of, runnerId });
      const fault = artifactNameFault(of.name);
      if (fault !== undefined) throw invalidField("name", `${JSON.stringify(of.name)}: ${fault}`);
      const upload = spec.artifacts?.uploads.find((one) => one.name === of.name);
      if (!upload || workload.jobId === null || workload.runId === null) {
        throw new AgynError("NOT_FOUND", `the workload's spec has no artifact ${JSON.stringify(of.name)}`);
      }
      const made = {
        id: createId("artifact"),
        organizationId: workload.organizationId,
        runId: workload.runId,
        jobId: workload.jobId,
        workloadId: of.workloadId,
        fence: of.fence,
        name: of.name,
        nameKey: nameKey(of.name),
        directory,
        retention_ms: upload.retention ? durationMs(upload.retention) : null,
        defaultRetention_ms: limits.artifactRetention_ms,
      };
      return sql.begin(async (transaction) => {
        const row = await insertArtifact(transaction, made);
        if (row.name !== of.name) {
          const text = `it is the name of artifact ${JSON.stringify(row.name)} on file systems that do not tell them apart`;
          throw invalidField("name", text);
        }
        if (row.state !== "uploading") return { received: row.sizeBytes, row };
        await setArtifactKind(transaction, row.id, directory);
        await insertUpload(transaction, { id: row.id, organizationId: row.organizationId, userId: null });
        return { received: (await getUpload(transaction, row.id))!.receivedBytes, row };
      });
    },

    /** Adds bytes; answers how many are durable. */
    async write(runnerId: string, of: ArtifactOf, part: { offset: number; data: Uint8Array }): Promise<number> {
      const artifact = await uploading(runnerId, of);
      const { artifactMaximum_bytes: maximumBytes, runArtifactsMaximum_bytes: runMaximum } = limits;
      const admit = async (transaction: SqlOrTransaction): Promise<void> => {
        const bytes = await sumRunBytes(transaction, artifact.runId);
        if (bytes + part.data.length <= runMaximum) return;
        throw new AgynError("LIMIT", `the artifacts of the run would be above ${runMaximum} bytes`);
      };
      return contents.append(artifact.id, {
        ...part,
        maximumBytes,
        what: `artifact ${JSON.stringify(of.name)}`,
        admit,
      });
    },

    /** Ends an artifact whose bytes are all there. Said again, it changes nothing. */
    async finish(runnerId: string, of: ArtifactOf, sha256: string): Promise<void> {
      const known = await findWorkloadArtifact(sql, of);
      if (known?.state === "complete" && known.sha256 === sha256) return;
      const { id } = await uploading(runnerId, of);
      const upload = await getUpload(sql, id);
      if (!upload) throw new AgynError("STATE", `nothing of artifact ${JSON.stringify(of.name)} has arrived`);
      await contents.finish(upload, sha256, async (transaction, sizeBytes) => {
        const isSettled = await settleArtifact(transaction, id, { state: "complete", sha256, sizeBytes });
        if (!isSettled) throw new AgynError("STATE", `artifact ${JSON.stringify(of.name)} was settled meanwhile`);
      });
      onSettled();
    },

    /** There will be none. Said again, it changes nothing. */
    async fail(runnerId: string, of: ArtifactOf, message: string): Promise<void> {
      const known = await findWorkloadArtifact(sql, of);
      if (known?.state === "failed") return;
      const { id } = await uploading(runnerId, of);
      await sql.begin((transaction) => settleArtifact(transaction, id, { state: "failed", message }));
      onSettled();
    },

    /** The bytes of a content that the workload's spec names, from an offset. */
    async read(
      runnerId: string,
      { sha256, offset, ...of }: { workloadId: string; fence: bigint; sha256: string; offset: number },
    ): Promise<AsyncIterable<Uint8Array>> {
      const { spec } = await heldBy(sql, { ...of, runnerId });
      const allowed = [spec.bundle?.sha256, ...(spec.artifacts?.downloads ?? []).map((one) => one.sha256)];
      if (!allowed.includes(sha256)) {
        throw new AgynError("NOT_FOUND", `the workload's spec has no content with the SHA-256 ${sha256}`);
      }
      return contents.read(sha256, { offset, length: Number.MAX_SAFE_INTEGER - offset });
    },
  };
}

type Holder = { runnerId: string; workloadId: string; fence: bigint };

/** The workload, where it is or was placed on the runner under the fence, and has not ended for too long. */
async function heldBy(
  sql: Sql,
  { runnerId, workloadId, fence }: Holder,
): Promise<{ workload: WorkloadRow; spec: WorkloadSpec }> {
  const workload = await getWorkload(sql, workloadId);
  const isHeld = workload?.fence === fence && workload.runnerId === runnerId && workload.phase !== "lost";
  if (!workload || !isHeld) {
    throw new AgynError("STALE_FENCE", "the workload is not placed on this runner under this fence");
  }
  const over_ms = workload.endTime === null ? 0 : Date.now() - workload.endTime.getTime();
  if (isTerminal(workload.phase) && over_ms > lateUpload_ms) {
    throw new AgynError("STATE", "the workload ended too long ago for its artifacts to be taken");
  }
  return { workload, spec: fromBinary(WorkloadSpecSchema, workload.spec) };
}
