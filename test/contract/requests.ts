import { create, type DescMethod, type Message, type MessageInitShape } from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";
import { Resource } from "../../proto/gen/agyn/options/v1/options_pb.ts";
import { ScopeSchema } from "../../proto/gen/agyn/runners/v1/runner_pb.ts";
import { accessOf } from "../../server/src/api/interceptors/access.ts";
import { waitingPipeline, webhookConfig, type Things } from "./world.ts";

/** What a request is about: an organization's things, or the cluster's. */
export type Subject = Things & {
  organizationId: string | undefined;
  spareTokenId: string;
};

type Fields = Record<string, unknown>;

const simulation = { command: { case: "simulation", value: {} } };
const nowhere = { executor: "simulated", requirements: [{ key: "nowhere", operator: 3, values: [] }] };
const runnerId = "rnr_aaaaaaaaaaaaaaaa";
/** Of nothing. */
const sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const artifactOf = { workloadId: "wkl_aaaaaaaaaaaaaaaa", fence: 1n, name: "first" };
const bytes = (length: number) => new Uint8Array(length);
const nonce = bytes(16);
/** In its form only: it proves nothing. */
const provenRequest = { runnerId, nonce, csr: bytes(64), certificatePem: "-".repeat(64), signature: bytes(64) };

/** What a valid request needs beside its reference; chosen so that the call changes nothing that a later one relies on. */
const fields: Record<string, (subject: Subject) => Fields> = {
  CreateOrganization: () => ({ name: "acme" }),
  UpdateOrganization: () => ({ name: "acme", updateMask: { paths: ["name"] } }),
  SetMember: () => ({ user: "vera", role: 1 }),
  RemoveMember: () => ({ user: "olga" }),
  CreateUser: () => ({ name: "vera" }),
  UpdateUser: () => ({ user: "vera", updateMask: { paths: ["cluster_admin"] } }),
  DeleteUser: () => ({ user: "olga" }),
  CreateAccessToken: () => ({ name: "made", scopes: ["tokens.manage"] }),
  RevokeAccessToken: ({ spareTokenId }) => ({ accessToken: spareTokenId }),
  RegisterRunner: () => ({ name: "first" }),
  UpdateRunner: () => ({ updateMask: { paths: ["capabilities"] } }),
  StartWorkload: () => ({ spec: simulation, demand: nowhere }),
  Explain: () => ({ subject: { case: "demand", value: nowhere } }),
  CreateProject: () => ({ name: "made" }),
  UpdateProject: () => ({ updateMask: { paths: ["retention_days"] } }),
  StartRun: () => waitingPipeline,
  ValidatePipeline: () => waitingPipeline,
  CancelRuns: () => ({ filter: { labels: { no: "such" } } }),
  RerunRun: () => ({ scope: { case: "all", value: true } }),
  MoveJob: () => ({ to: { case: "top", value: true } }),
  CancelQueuedJobs: () => ({ filter: { labels: { no: "such" } } }),
  SetSecret: () => ({ name: "FIRST", value: "a value" }),
  DeleteSecret: () => ({ name: "FIRST" }),
  SetQueueWeight: () => ({ weight: 1 }),
  PauseQueue: () => ({ reason: "a test" }),
  PauseClusterQueue: () => ({ reason: "a test" }),
  CreateTrigger: () => ({ name: "made", config: webhookConfig }),
  UpdateTrigger: () => ({ config: webhookConfig }),
  RedeliverDelivery: ({ deliveryId }) => ({ deliveryId }),
  SetTriggerCredential: () => ({ credential: "token" }),
  CreateTriggerToken: () => ({ name: "made" }),
  RevokeTriggerToken: ({ triggerTokenId }) => ({ triggerToken: triggerTokenId }),
  CreateWebhook: () => ({ name: "made", url: "https://example.org/hook" }),
  UpdateWebhook: () => ({ updateMask: { paths: ["events"] } }),
  GetWebhookDelivery: ({ webhookDeliveryId: deliveryId }) => ({ deliveryId }),
  RedeliverWebhook: ({ webhookDeliveryId: deliveryId }) => ({ deliveryId }),
  StartTriggerRun: () => ({ pipeline: "first.yaml" }),
  CreateUpload: () => ({ sha256 }),
  WriteUpload: ({ uploadId }) => ({ uploadId }),
  FinishUpload: ({ uploadId }) => ({ uploadId, sha256 }),
  CreateArtifact: () => ({ ...artifactOf, kind: 1 }),
  WriteArtifact: () => artifactOf,
  FinishArtifact: () => ({ ...artifactOf, sha256 }),
  FailArtifact: () => artifactOf,
  ReadContent: () => ({ workloadId: artifactOf.workloadId, fence: 1n, sha256 }),
  StartEnrollment: () => ({ runnerId }),
  Enroll: () => ({ runnerId, nonce: bytes(16), csr: bytes(64), signature: bytes(64) }),
  RenewExpiredIdentity: () => provenRequest,
  EnrollInNetwork: () => provenRequest,
  Exec: () => ({ kind: { case: "start", value: { arguments: ["true"] } } }),
  Forward: () => ({ kind: { case: "start", value: { port: 80 } } }),
  CopyFrom: () => ({ start: { path: "out" } }),
  CopyTo: () => ({ kind: { case: "start", value: { path: "in" } } }),
  Tunnel: () => ({ kind: { case: "open", value: "tnl_aaaaaaaaaaaaaaaa" } }),
  RenewIdentity: () => ({ csr: bytes(64) }),
  Placements: () => ({ messages: [{ kind: { case: "heartbeat", value: { sequence: 1n } } }] }),
};

/** A valid request of the method about the subject: its reference from the method's access rule, the rest from the table above. */
export function requestOf(method: DescMethod, subject: Subject): Message {
  const init = (fields[method.name]?.(subject) ?? {}) as MessageInitShape<typeof method.input>;
  const message = create(method.input, init);
  const { resource, field } = accessOf(method);
  if (field !== "") setReference(method, message, { field, value: referenceTo(resource, subject) });
  return message;
}

/** Sets a field by its name in the contract. */
export function setReference(
  method: DescMethod,
  message: Message,
  { field, value }: { field: string; value: unknown },
): void {
  const descriptor = method.input.fields.find(({ name }) => name === field);
  if (!descriptor) throw new Error(`${method.name} has no field ${field}`);
  reflect(method.input, message).set(descriptor, value);
}

function referenceTo(resource: Resource, subject: Subject): unknown {
  const { organizationId } = subject;
  switch (resource) {
    case Resource.ORGANIZATION:
      return organizationId;
    case Resource.SCOPE:
      return reflect(ScopeSchema, create(ScopeSchema, scopeOf(organizationId)));
    case Resource.RUNNER:
      return subject.runnerId;
    case Resource.WORKLOAD:
      return subject.workloadId;
    case Resource.PROJECT:
      return subject.projectId;
    case Resource.RUN:
      return subject.runId;
    case Resource.JOB:
      return subject.jobId;
    case Resource.TRIGGER:
      return subject.triggerId;
    case Resource.WEBHOOK:
      return subject.webhookId;
    case Resource.ARTIFACT:
      return subject.artifactId;
    case Resource.UNSPECIFIED:
    case Resource.SELF:
    case Resource.CLUSTER:
    default:
      throw new Error("nothing is referred to");
  }
}

function scopeOf(organizationId: string | undefined): MessageInitShape<typeof ScopeSchema> {
  if (organizationId === undefined) return { kind: { case: "cluster", value: true } };
  return { kind: { case: "organization", value: organizationId } };
}
