import {
  ArtifactSchema,
  ArtifactState,
  ArtifactStateSchema,
  type Artifact,
} from "../../../proto/gen/agyn/artifacts/v1/artifacts_service_pb.ts";
import type { Tone } from "../terminal.ts";
import { age, enumWord, formatBytes, instant, messageJson, type View } from "../view.ts";

function stateTone({ state }: Artifact): Tone | undefined {
  if (state === ArtifactState.COMPLETE) return "good";
  return state === ArtifactState.FAILED ? "bad" : "warning";
}

export const artifactView: View<Artifact> = {
  noun: "artifacts",
  id: ({ id }) => id,
  toJson: messageJson(ArtifactSchema),
  columns: [
    { header: "ID", value: ({ id }) => id },
    { header: "RUN", value: ({ runNumber }) => String(runNumber) },
    { header: "JOB", value: ({ jobName }) => jobName },
    { header: "FILE", value: ({ fileName }) => fileName },
    { header: "SIZE", value: ({ sizeBytes }) => formatBytes(sizeBytes) },
    { header: "STATE", value: ({ state }) => enumWord(ArtifactStateSchema, state), tone: stateTone },
    { header: "AGE", value: ({ createTime }, now) => age(createTime, now) },
    { header: "SHA-256", value: ({ sha256 }) => sha256, isWide: true },
    { header: "ATTEMPT", value: ({ attempt }) => String(attempt), isWide: true },
    { header: "MESSAGE", value: ({ message }) => message, isWide: true },
  ],
  details: (artifact) => [
    ["id", artifact.id],
    ["name", artifact.name],
    ["file", artifact.fileName],
    ["state", enumWord(ArtifactStateSchema, artifact.state)],
    ["message", artifact.message],
    ["size", formatBytes(artifact.sizeBytes)],
    ["sha-256", artifact.sha256],
    ["type", artifact.mediaType],
    ["run", `${artifact.runNumber} (${artifact.runId}), attempt ${artifact.attempt}`],
    ["job", `${artifact.jobName} (${artifact.jobId})`],
    ["workload", artifact.workloadId],
    ["path", artifact.path],
    ["created", instant(artifact.createTime)],
    ["complete", instant(artifact.completeTime)],
    ["expires", instant(artifact.expireTime)],
  ],
};
