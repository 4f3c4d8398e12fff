import { toJson, type DescMethod } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { MemberRole } from "../../proto/gen/agyn/organizations/v1/organizations_service_pb.ts";
import { Operator } from "../../proto/gen/agyn/orchestrator/v1/demand_pb.ts";
import { Plane } from "../../proto/gen/agyn/options/v1/options_pb.ts";
import { accessOf } from "../../server/src/api/interceptors/access.ts";
import { methods } from "./access-matrix.ts";
import { call, outcomeOf } from "./call.ts";
import { placesOf } from "./places.ts";
import { requestOf } from "./requests.ts";
import { openContractWorld, waitingPipeline, type ContractWorld } from "./world.ts";

let contract: ContractWorld;

beforeAll(async () => {
  contract = await openContractWorld();
});
afterAll(() => contract.close());

/** What a field of this name refers to. */
const referents = [
  "organization",
  "runner",
  "workload",
  "user",
  "access_token",
  "runner_id",
  "workload_id",
  "object_id",
  "project",
  "run",
  "run_id",
  "job",
  "trigger",
  "webhook",
  "delivery_id",
  "artifact",
  "upload_id",
  "before",
  "after",
];

/** Fields that narrow a list: an id of another organization is no error there, but nothing of it comes back. */
const filters = [
  "ListWorkloads.runner_id",
  "ListAuditEvents.object_id",
  "WatchWorkloads.workload_id",
  "WatchRuns.run_id",
  "ListRuns.filter.trigger",
  "CancelRuns.filter.trigger",
];

/** A name within the thing that the call is about. */
const names = ["RerunRun.job"];

/** Users belong to no organization, and these methods are about users. */
const aboutUsers: Record<string, string> = {
  "SetMember.user": "answered",
  "UpdateUser.user": "PERMISSION_DENIED",
  "DeleteUser.user": "PERMISSION_DENIED",
};

const cases = methods
  .filter((method) => accessOf(method).plane === Plane.USER && accessOf(method).permission !== "")
  .flatMap((method) =>
    placesOf(method.input)
      .filter(({ path, kind }) => kind === "string" && referents.includes(path.split(".").at(-1)!))
      .map((place) => [`${method.name}.${place.path}`, method, place] as const)
      .filter(([name]) => !names.includes(name)),
  );

describe("bad-48: ids of another organization are found by nobody else", () => {
  test.each(cases)("%s answers as if the thing of another organization were not there", async (name, method, place) => {
    const { other, acme, users } = contract;
    const request = requestOf(method, { ...other, spareTokenId: "tok_aaaaaaaaaaaaaaaa" });
    place.put(request, await foreignId(method, place.path.split(".").at(-1)!));
    const outcome = await call(contract.userPlane(users.sam.token), method, request);
    if (filters.includes(name)) {
      expect(outcome.kind === "answered" ? textOf(method, outcome.messages) : outcome).not.toMatch(acme.organizationId);
      expect(outcome.kind).toBe("answered");
    } else {
      const reason = outcome.kind === "answered" ? "answered" : outcome.reason;
      expect(reason).toBe(aboutUsers[name] ?? "NOT_FOUND");
    }
  });
});

function textOf(method: DescMethod, messages: Parameters<typeof toJson>[1][]): string {
  return JSON.stringify(messages.map((message) => toJson(method.output, message)));
}

async function foreignId(method: DescMethod, referent: string): Promise<string> {
  const { acme, users } = contract;
  if (referent === "organization") return acme.organizationId;
  if (referent === "user") return method.name === "SetMember" ? users.vera.id : users.mia.id;
  if (referent === "access_token") return (await contract.createToken(users.olga, [])).id;
  if (referent === "artifact") return acme.artifactId;
  if (referent === "upload_id") return acme.uploadId;
  if (referent === "project") return acme.projectId;
  if (referent === "before" || referent === "after" || referent === "job") return acme.jobId;
  if (referent === "trigger") return acme.triggerId;
  if (referent === "webhook") return acme.webhookId;
  if (referent === "delivery_id") return method.name === "RedeliverDelivery" ? acme.deliveryId : acme.webhookDeliveryId;
  if (referent.startsWith("run") && !referent.startsWith("runner")) return acme.runId;
  return referent.startsWith("workload") ? acme.workloadId : acme.runnerId;
}

test("a workload of another organization of the caller's is explained by its id in that one's name", async () => {
  const { orchestrator } = contract.users.olga.clients;
  const spec = { command: { case: "simulation", value: {} } } as const;
  const demand = { executor: "simulated", capabilities: ["unheard-of"] };
  const refused = await orchestrator
    .startWorkload({ organization: "olga", name: "in-vain", spec, demand })
    .then(() => undefined, outcomeOf);
  const { workloads } = await orchestrator.listWorkloads({ organization: "olga" });
  const subject = { case: "workload", value: workloads[0]!.id } as const;
  const { explanation } = await orchestrator.explain({ organization: "acme", subject });
  expect(explanation?.text).toContain("organization olga");
  expect(explanation?.text).toBe(refused?.message);
});

test("a project of another organization of the caller's starts no run here", async () => {
  const { users, acme, world } = contract;
  const { runs } = users.olga.clients;
  const ofAnnex = { organization: "annex", user: "olga" };
  await world.admin.organizations.createOrganization({ name: "annex" });
  await world.admin.organizations.setMember({ ...ofAnnex, role: MemberRole.OWNER });
  onTestFinished(async () => void (await world.admin.organizations.removeMember(ofAnnex)));
  const start = runs.startRun({ organization: "annex", project: acme.projectId, ...waitingPipeline });
  await expect(start).rejects.toThrow(/there is no project/);
});

describe("bad-34: nothing is meant by a part of its name, or by a wildcard", () => {
  test("a name's beginning is no reference, and a wildcard is none either", async () => {
    const { runners, organizations, orchestrator } = contract.users.olga.clients;
    const reasonOf = (answer: Promise<unknown>) =>
      answer.then(
        () => "answered",
        (error: unknown) => outcomeOf(error).reason,
      );
    for (const part of ["acm", "acme-2"]) {
      expect(await reasonOf(organizations.getOrganization({ organization: part })), part).toBe("NOT_FOUND");
    }
    expect(await reasonOf(organizations.getOrganization({ organization: "org_" }))).toBe("AMBIGUOUS_REFERENCE");
    expect(await reasonOf(runners.getRunner({ runner: "firs" }))).toBe("NOT_FOUND");
    expect(await reasonOf(orchestrator.getWorkload({ workload: "firs" }))).toBe("NOT_FOUND");
    expect(await reasonOf(organizations.getOrganization({ organization: "*" }))).toBe("INVALID_ARGUMENT");
    expect(await reasonOf(runners.getRunner({ runner: "*" }))).toBe("INVALID_ARGUMENT");
  });

  test("a label's value is compared whole, and a demand on a label that is not there fits no runner", async () => {
    const { runners, orchestrator } = contract.users.olga.clients;
    const scope = { kind: { case: "organization", value: "acme" } } as const;
    await runners.registerRunner({ name: "ten", scope, labels: { job: "job-10" } });
    const fits = async (key: string, values: string[]) => {
      const requirements = [{ key, operator: Operator.IN, values }];
      const subject = { case: "demand", value: { executor: "simulated", requirements } } as const;
      const { explanation } = await orchestrator.explain({ organization: "acme", subject });
      return explanation!.runners.some(({ rules }) => rules.every(({ ok }) => ok));
    };
    expect(await fits("job", ["job-1"])).toBe(false);
    expect(await fits("job", ["*"])).toBe(false);
    expect(await fits("absent", [""])).toBe(false);
  });

  test("a scope is carried by the token that names it whole", async () => {
    const { token } = await contract.createToken(contract.users.olga, ["runners.read"]);
    const { runners } = contract.world.clientsOf(token);
    expect((await runners.listRunners({})).runners.length).toBeGreaterThan(0);
    await expect(runners.pauseRunner({ runner: "first" })).rejects.toThrow(/lacks the scope runners.manage/);
  });
});
