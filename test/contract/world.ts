import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createClient, type Interceptor, type Transport } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { createMtlsOverlay } from "../../overlay/mtls.ts";
import { secureConnector } from "../../overlay/secure-client.ts";
import { MemberRole } from "../../proto/gen/agyn/organizations/v1/organizations_service_pb.ts";
import { Forge } from "../../proto/gen/agyn/triggers/v1/triggers_service_pb.ts";
import { RunnersService } from "../../proto/gen/agyn/runners/v1/runners_service_pb.ts";
import { enroll } from "../../runner/src/enroll.ts";
import { createIdentityMemory, type StoredIdentity } from "../../runner/src/identity-store.ts";
import { createId } from "../../wire/ids.ts";
import { insertArtifact } from "../../server/src/store/artifacts.ts";
import { insertUpload } from "../../server/src/store/uploads.ts";
import { parseServiceToken } from "../../wire/service-token.ts";
import { forgejoHeaders, post } from "../support/triggers.ts";
import { clientsFor, createWorld, type Clients, type World } from "../support/world.ts";

/** A user with a token without limits. */
export type TestUser = { id: string; name: string; token: string; clients: Clients };

/** One of each kind of thing that an organization has. */
export type Things = {
  runnerId: string;
  workloadId: string;
  projectId: string;
  runId: string;
  jobId: string;
  artifactId: string;
  uploadId: string;
  triggerId: string;
  deliveryId: string;
  triggerTokenId: string;
  webhookId: string;
  webhookDeliveryId: string;
};

/** What one organization has. */
export type Belongings = Things & {
  organizationId: string;
  serviceToken: string;
  triggerToken: string;
  /** Brings one more delivery to the trigger. */
  deliver: () => Promise<string>;
};

/**
 * A control plane with the organization `acme` (olga owns it, mia is a member, vera a viewer; one runner, one stopped workload), the
 * organization `other` (sam owns it; the like), a cluster-scoped runner, and a cluster admin, who belongs to neither.
 */
export type ContractWorld = {
  world: World;
  admin: TestUser;
  users: Record<"olga" | "mia" | "vera" | "sam", TestUser>;
  acme: Belongings;
  other: Belongings;
  clusterRunnerId: string;
  /** To the user plane, with a token or with none. */
  userPlane: (token?: string) => Transport;
  /** To the runner plane, with an identity's certificate; each connection is dialed anew. */
  runnerPlane: (identity: StoredIdentity, token?: string) => Transport;
  /** Enrolls the runner of a service token. */
  enroll: (serviceToken: string) => Promise<StoredIdentity>;
  /** Another runner, of acme or of the cluster. */
  registerRunner: (scope: "acme" | "cluster") => Promise<{ runnerId: string; serviceToken: string }>;
  /** Another trigger of acme. */
  createTrigger: () => Promise<{ triggerId: string }>;
  /** Another webhook of acme. */
  createWebhook: () => Promise<{ webhookId: string }>;
  /** Another project of acme. */
  createProject: () => Promise<{ projectId: string }>;
  /** Another artifact of acme. */
  createArtifact: () => Promise<{ artifactId: string }>;
  createToken: (user: TestUser, scopes: string[], lifetime_s?: number) => Promise<{ id: string; token: string }>;
  close: () => Promise<void>;
};

const overlay = createMtlsOverlay();
const enrollTimeout_ms = 20_000;

export async function openContractWorld(): Promise<ContractWorld> {
  const world = await createWorld({ file_sources: "true" });
  const { gateway } = world.server;
  const newUser = async (name: string): Promise<TestUser> => {
    const { user, accessToken } = await world.admin.users.createUser({ name });
    return { id: user!.id, name, token: accessToken, clients: world.clientsOf(accessToken) };
  };
  const transports = new Map<string, Transport>();
  const userPlane = (token = "") => {
    const transport = transports.get(token) ?? clientsFor(gateway, token).transport;
    transports.set(token, transport);
    return transport;
  };
  const olga = await newUser("olga");
  const users = { olga, mia: await newUser("mia"), vera: await newUser("vera"), sam: await newUser("sam") };
  const acme = await createBelongings(world, "acme", [
    [olga, MemberRole.OWNER],
    [users.mia, MemberRole.MEMBER],
    [users.vera, MemberRole.VIEWER],
  ]);
  const other = await createBelongings(world, "other", [[users.sam, MemberRole.OWNER]]);
  const registerRunner: ContractWorld["registerRunner"] = async (scope) => {
    const { runners } = scope === "cluster" ? world.admin : olga.clients;
    return register(
      runners,
      scope === "cluster" ? { case: "cluster", value: true } : { case: "organization", value: scope },
    );
  };
  const { user } = await world.admin.users.getUser({});
  return {
    world,
    admin: { id: user!.id, name: "admin", token: world.adminToken, clients: world.admin },
    users,
    acme,
    other,
    clusterRunnerId: (await registerRunner("cluster")).runnerId,
    userPlane,
    registerRunner,
    runnerPlane: (identity, token) => {
      const dial = (signal: AbortSignal) => overlay.dial(world.server.runnerAddress, { signal });
      const nodeOptions = { createConnection: secureConnector(dial, identity) };
      return createGrpcTransport({ baseUrl: "https://control-plane", nodeOptions, interceptors: bearer(token) });
    },
    async enroll(serviceToken) {
      const token = parseServiceToken(serviceToken);
      if ("error" in token) throw new Error(token.error);
      const client = createClient(RunnersService, userPlane());
      const signal = AbortSignal.timeout(enrollTimeout_ms);
      return enroll({ gateway: client, store: createIdentityMemory(), host: "test", signal }, token);
    },
    async createProject() {
      const name = createId("event").replace("_", "-");
      const { project } = await olga.clients.projects.createProject({ organization: "acme", name });
      return { projectId: project!.id };
    },
    async createTrigger() {
      const name = createId("event").replace("_", "-");
      const request = { organization: "acme", project: "first", name, config: webhookConfig };
      const { trigger } = await olga.clients.triggers.createTrigger(request);
      return { triggerId: trigger!.id };
    },
    async createWebhook() {
      const name = createId("event").replace("_", "-");
      const { webhook } = await olga.clients.webhooks.createWebhook({ organization: "acme", name, url: nowhere });
      return { webhookId: webhook!.id };
    },
    createArtifact: () => insertArtifactOf(world, acme, acme.organizationId),
    async createToken(owner, scopes, lifetime_s) {
      const lifetime = lifetime_s === undefined ? {} : { lifetime: { seconds: BigInt(lifetime_s) } };
      const made = await owner.clients.tokens.createAccessToken({ name: "test", scopes, ...lifetime });
      return { id: made.accessToken!.id, token: made.token };
    },
    close: async () => world[Symbol.asyncDispose](),
  };
}

async function createBelongings(world: World, name: string, members: [TestUser, MemberRole][]): Promise<Belongings> {
  const { organizations } = world.admin;
  const { organization } = await organizations.createOrganization({ name });
  for (const [user, role] of members) await organizations.setMember({ organization: name, user: user.name, role });
  await organizations.removeMember({ organization: name, user: "admin" });
  const { runners, orchestrator, projects, runs, triggers, secrets, webhooks } = members[0]![0].clients;
  const { runnerId, serviceToken } = await register(runners, { case: "organization", value: name }, "first");
  const spec = { command: { case: "simulation", value: {} } } as const;
  const started = await orchestrator.startWorkload({
    organization: name,
    name: "first",
    spec,
    demand: { executor: "simulated" },
  });
  const workloadId = started.workload!.id;
  await orchestrator.stopWorkload({ workload: workloadId });
  const { project } = await projects.createProject({
    organization: name,
    name: "first",
    sourceUrl: createRepository(world, name),
  });
  await secrets.setSecret({ organization: name, name: "FIRST", value: "a value" });
  const { run } = await runs.startRun({ organization: name, project: "first", ...waitingPipeline });
  const { jobs } = await runs.listJobs({ run: run!.id });
  const made = await triggers.createTrigger({
    organization: name,
    project: "first",
    name: "first",
    config: webhookConfig,
  });
  const { trigger, secret } = made;
  let sent = 0;
  const deliver = async () => {
    const body = JSON.stringify({ sent: (sent += 1) });
    const request = { headers: forgejoHeaders(secret, body, "ping"), body };
    return (await post(world, trigger!, request)).answer["delivery"]!;
  };
  const token = await triggers.createTriggerToken({ organization: name, project: "first", name: "first" });
  const ofTrigger = {
    triggerId: trigger!.id,
    deliveryId: await deliver(),
    triggerTokenId: (await triggers.createTriggerToken({ organization: name, project: "first", name: "second" }))
      .triggerToken!.id,
  };
  const { webhook } = await webhooks.createWebhook({ organization: name, name: "first", url: nowhere });
  const { delivery } = await webhooks.testWebhook({ webhook: webhook!.id });
  const ofWebhook = { webhookId: webhook!.id, webhookDeliveryId: delivery!.id };
  const of = { workloadId, runId: run!.id, jobId: jobs[0]!.id };
  const { artifactId } = await insertArtifactOf(world, of, organization!.id);
  const uploadId = createId("upload");
  await insertUpload(world.database.sql, { id: uploadId, organizationId: organization!.id, userId: members[0]![0].id });
  const things = { runnerId, ...of, projectId: project!.id, artifactId, uploadId, ...ofTrigger, ...ofWebhook };
  return { ...things, organizationId: organization!.id, serviceToken, triggerToken: token.token, deliver };
}

/** An artifact that a job is about to have. */
async function insertArtifactOf(
  world: World,
  { workloadId, runId, jobId }: Pick<Things, "workloadId" | "runId" | "jobId">,
  organizationId: string,
): Promise<{ artifactId: string }> {
  const id = createId("artifact");
  const of = { id, organizationId, runId, jobId, workloadId, fence: 1n };
  const kept = { directory: false, retention_ms: null, defaultRetention_ms: 86_400_000 };
  await insertArtifact(world.database.sql, { ...of, name: id, nameKey: id, ...kept });
  return { artifactId: id };
}

const waiting = "{ run: 'true', requires: { labels: { nowhere: here } } }";

/** A run whose jobs wait for ever. */
export const waitingPipeline = {
  pipeline: "first.yaml",
  content: Buffer.from(`jobs: { first: ${waiting}, second: ${waiting}, third: ${waiting} }`),
};

/** A repository that holds the pipeline. */
function createRepository(world: World, name: string): string {
  const directory = join(world.directory, name);
  const git = (...words: string[]) =>
    execFileSync("git", ["-c", "user.name=a", "-c", "user.email=a@example.org", "-C", directory, ...words]);
  mkdirSync(directory);
  git("init", "--quiet");
  writeFileSync(join(directory, waitingPipeline.pipeline), waitingPipeline.content);
  git("add", ".");
  git("commit", "--quiet", "-m", "first");
  return `file://${directory}`;
}

/** Where no name leads: nothing is ever sent. */
const nowhere = "https://hooks.invalid/";

/** A webhook that nothing is delivered to. */
export const webhookConfig = {
  pipeline: "first.yaml",
  kind: { case: "webhook", value: { forge: Forge.FORGEJO } },
} as const;

type ScopeKind = { case: "cluster"; value: boolean } | { case: "organization"; value: string };

async function register(runners: Clients["runners"], kind: ScopeKind, name = createId("event").replace("_", "-")) {
  const { runner, serviceToken } = await runners.registerRunner({ name, scope: { kind } });
  return { runnerId: runner!.id, serviceToken };
}

function bearer(token: string | undefined): Interceptor[] {
  if (token === undefined) return [];
  return [
    (next) => (request) => {
      request.header.set("authorization", `Bearer ${token}`);
      return next(request);
    },
  ];
}
