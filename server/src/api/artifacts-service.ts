import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import {
  ArtifactKind,
  ArtifactState,
  type ArtifactSchema,
  type ArtifactsService,
} from "../../../proto/gen/agyn/artifacts/v1/artifacts_service_pb.ts";
import type { Bundles, Uploader } from "../artifacts/bundles.ts";
import type { WorkloadArtifacts } from "../artifacts/workload-artifacts.ts";
import type { ContentStore } from "../blobs/content-store.ts";
import { AgynError } from "../domain/errors.ts";
import {
  deleteArtifacts,
  listArtifacts,
  listAttemptArtifacts,
  type ArtifactRow,
  type ArtifactState as State,
} from "../store/artifacts.ts";
import { insertAuditEvent } from "../store/audit-events.ts";
import type { Sql } from "../store/database.ts";
import { toPage } from "../store/paging.ts";
import { fileNameOf, mediaTypeOf } from "./artifact-headers.ts";
import { auditOf } from "./audit.ts";
import { runnerOf, targetOf, userOf } from "./context.ts";
import { resolveJob, resolveProject, resolveRun } from "./references.ts";

export type ArtifactsDeps = {
  sql: Sql;
  contents: ContentStore;
  artifacts: WorkloadArtifacts;
  bundles: Bundles;
};

const states: Record<State, ArtifactState> = {
  uploading: ArtifactState.UPLOADING,
  complete: ArtifactState.COMPLETE,
  failed: ArtifactState.FAILED,
};
const stateNames: Partial<Record<ArtifactState, State>> = {
  [ArtifactState.UPLOADING]: "uploading",
  [ArtifactState.COMPLETE]: "complete",
  [ArtifactState.FAILED]: "failed",
};

/** Of one message of a stream. */
const piece_bytes = 1024 * 1024;
/** Artifacts in a list of checksums: as many as a run's jobs can have, in bounds. */
const maximumChecksums = 10_000;

/** Shows what jobs kept, takes bundles in, and serves runners what they send and read. */
export function createArtifactsService(deps: ArtifactsDeps): ServiceImpl<typeof ArtifactsService> {
  return { ...createReading(deps), ...createBundleUpload(deps), ...createRunnerSide(deps) };
}

function createReading({ sql, contents }: ArtifactsDeps) {
  return {
    async listArtifacts(request, context) {
      const { organization } = targetOf(context, "organization");
      const find = async <T>(resolve: Resolve<T>, reference: string): Promise<T | undefined> =>
        reference === "" ? undefined : resolve(sql, userOf(context), reference, organization.id);
      const [run, job, project] = [
        await find(resolveRun, request.run),
        await find(resolveJob, request.job),
        await find(resolveProject, request.project),
      ];
      const filter = {
        organizationId: organization.id,
        runId: run?.id ?? "",
        jobId: job?.id ?? "",
        projectId: project?.id ?? "",
        name: request.name,
        states: request.states.map((state) => stateNames[state]!),
      };
      const { rows, nextToken } = await listArtifacts(sql, filter, toPage(request));
      return { artifacts: rows.map(toProto), nextPageToken: nextToken };
    },

    async getArtifact(_request, context) {
      return { artifact: toProto(targetOf(context, "artifact").artifact) };
    },

    async *downloadArtifact({ offset, limit }, context) {
      const { artifact } = targetOf(context, "artifact");
      const sha256 = completeDigest(artifact);
      const length = limit === 0n ? Number(artifact.sizeBytes - offset) : Number(limit);
      if (length <= 0) return;
      yield* inPieces(await contents.read(sha256, { offset: Number(offset), length }));
    },

    async deleteArtifact(_request, context) {
      const { artifact } = targetOf(context, "artifact");
      const { id, name, organizationId } = artifact;
      await sql.begin(async (transaction) => {
        await deleteArtifacts(transaction, [id]);
        const scope = { kind: "organization" as const, organizationId };
        const about = { scope, objectId: id, objectName: name, action: "artifact.delete" };
        await insertAuditEvent(transaction, auditOf(context, about));
      });
      return { artifact: toProto(artifact) };
    },

    async listChecksums(_request, context) {
      const { run } = targetOf(context, "run");
      return { text: checksumsOf(await listAttemptArtifacts(sql, run, maximumChecksums)) };
    },
  } satisfies Partial<ServiceImpl<typeof ArtifactsService>>;
}

type Resolve<T> = (
  sql: Sql,
  caller: ReturnType<typeof userOf>,
  reference: string,
  organizationId: string | undefined,
) => Promise<T>;

/** Lines as `sha256sum --check` reads them; a name that two jobs have is told apart by the job's. */
function checksumsOf(artifacts: readonly ArtifactRow[]): string {
  const counts = new Map<string, number>();
  for (const one of artifacts) counts.set(fileNameOf(one), (counts.get(fileNameOf(one)) ?? 0) + 1);
  return artifacts
    .map((one) => {
      const name = fileNameOf(one);
      return `${one.sha256}  ${counts.get(name)! > 1 ? `${one.jobName.replaceAll(/[/\\]/g, "_")}/${name}` : name}\n`;
    })
    .join("");
}

function createBundleUpload({ bundles }: ArtifactsDeps) {
  const uploaderOf = (context: HandlerContext): Uploader => ({
    organizationId: targetOf(context, "organization").organization.id,
    userId: userOf(context).userId,
  });
  return {
    createUpload: ({ sha256 }, context) => bundles.create(uploaderOf(context), sha256),
    async writeUpload({ uploadId, offset, data }, context) {
      const part = { offset: Number(offset), data };
      return { receivedBytes: BigInt(await bundles.write(uploaderOf(context), uploadId, part)) };
    },
    async finishUpload({ uploadId, sha256 }, context) {
      return { sizeBytes: BigInt(await bundles.finish(uploaderOf(context), uploadId, sha256)) };
    },
  } satisfies Partial<ServiceImpl<typeof ArtifactsService>>;
}

function createRunnerSide({ artifacts }: ArtifactsDeps) {
  return {
    async createArtifact(request, context) {
      const directory = request.kind === ArtifactKind.DIRECTORY;
      const { received, row } = await artifacts.create(runnerOf(context).runnerId, request, directory);
      return { receivedBytes: received, state: states[row.state] };
    },
    async writeArtifact(request, context) {
      const part = { offset: Number(request.offset), data: request.data };
      return { receivedBytes: BigInt(await artifacts.write(runnerOf(context).runnerId, request, part)) };
    },
    async finishArtifact(request, context) {
      await artifacts.finish(runnerOf(context).runnerId, request, request.sha256);
      return {};
    },
    async failArtifact(request, context) {
      await artifacts.fail(runnerOf(context).runnerId, request, request.message);
      return {};
    },
    async *readContent({ workloadId, fence, sha256, offset }, context) {
      const of = { workloadId, fence, sha256, offset: Number(offset) };
      yield* inPieces(await artifacts.read(runnerOf(context).runnerId, of));
    },
  } satisfies Partial<ServiceImpl<typeof ArtifactsService>>;
}

/** The digest of an artifact that can be read; `STATE` otherwise. */
export function completeDigest({ id, name, state, message, sha256 }: ArtifactRow): string {
  if (state === "complete" && sha256 !== null) return sha256;
  const why = state === "failed" ? `failed: ${message}` : "is still on its way";
  throw new AgynError("STATE", `artifact ${JSON.stringify(name)} (${id}) ${why}`);
}

async function* inPieces(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<{ data: Uint8Array }> {
  for await (const piece of bytes) {
    for (let at = 0; at < piece.length; at += piece_bytes) yield { data: piece.subarray(at, at + piece_bytes) };
  }
}

function toProto(row: ArtifactRow): MessageInitShape<typeof ArtifactSchema> {
  const { id, organizationId, projectId, runId, runNumber, jobId, jobName, attempt, workloadId, name, message } = row;
  const fileName = fileNameOf(row);
  return {
    ...{ id, organizationId, projectId, runId, runNumber, jobId, jobName, attempt, workloadId, name, message },
    kind: row.directory ? ArtifactKind.DIRECTORY : ArtifactKind.FILE,
    state: states[row.state],
    sizeBytes: row.sizeBytes,
    sha256: row.sha256 ?? "",
    mediaType: mediaTypeOf(fileName),
    createTime: timestampFromDate(row.createTime),
    ...(row.completeTime && { completeTime: timestampFromDate(row.completeTime) }),
    expireTime: timestampFromDate(row.expireTime),
    fileName,
    path: `/artifacts/${id}`,
  };
}
