import { create, type DescMethod, type Message } from "@bufbuild/protobuf";
import { DemandSchema } from "../../proto/gen/agyn/orchestrator/v1/demand_pb.ts";
import { afterAll, beforeAll, expect, test } from "vitest";
import { accessOf } from "../../server/src/api/interceptors/access.ts";
import { methods } from "./access-matrix.ts";
import { call, outcomeOf, type Outcome } from "./call.ts";
import { requestOf } from "./requests.ts";
import { openContractWorld, type ContractWorld } from "./world.ts";

let contract: ContractWorld;

beforeAll(async () => {
  contract = await openContractWorld();
});
afterAll(() => contract.close());

const each = methods
  .filter(({ input }) => input.fields.some(({ name }) => name === "idempotency_key"))
  .map((method) => [method.name, method] as const);

test.each(each)(
  "bad-30: %s does once what is asked often under one key, and refuses the key for anything else",
  async (_name, method) => {
    const isOfCluster = method.name === "CreateOrganization";
    const byUser = (isOfCluster ? contract.admin : contract.users.olga).token;
    const isByToken = accessOf(method).requiredRole === "trigger_token";
    const transport = contract.userPlane(isByToken ? contract.acme.triggerToken : byUser);
    if (method.name === "RerunRun") {
      const filter = { runs: [contract.acme.runId] };
      await contract.users.olga.clients.runs.cancelRuns({ organization: "acme", filter });
    }
    const ask = (name: string) => call(transport, method, keyedRequest(method, name));
    const answers = await Promise.all(["once", "once", "once", "once"].map(ask));
    answers.push(await ask("once"));
    expect(new Set(answers.map(idOf)).size).toBe(1);
    expect(await ask("other")).toMatchObject({ kind: "failed", reason: "IDEMPOTENCY_KEY_REUSED" });
  },
);

test("bad-30: a start that no runner can ever take is refused again under its key, for the one workload recorded", async () => {
  const { orchestrator } = contract.users.olga.clients;
  const name = "in-vain";
  const demand = { executor: "simulated", capabilities: ["unheard-of"] };
  const spec = { command: { case: "simulation", value: {} } } as const;
  const ask = () =>
    orchestrator
      .startWorkload({ organization: "acme", name, spec, demand, idempotencyKey: name })
      .then(() => "answered" as const, outcomeOf);
  const outcomes = [...(await Promise.all([ask(), ask(), ask()])), await ask()];
  expect(outcomes[0]).toMatchObject({ code: "FailedPrecondition", reason: "NO_RUNNER" });
  for (const outcome of outcomes) expect(outcome).toEqual(outcomes[0]);
  const { workloads } = await orchestrator.listWorkloads({ organization: "acme" });
  expect(workloads.filter((one) => one.name === name)).toHaveLength(1);
});

function keyedRequest(method: DescMethod, name: string): Message {
  const request = requestOf(method, { ...contract.acme, spareTokenId: "" });
  const demand = method.name === "StartWorkload" ? { demand: create(DemandSchema, { executor: "simulated" }) } : {};
  const scope = method.name === "RerunRun" ? { scope: { case: "job", value: "first" } } : {};
  return Object.assign(request, demand, { name, idempotencyKey: "the-key" }, name === "other" ? scope : {});
}

/** The id of what was made. */
function idOf(outcome: Outcome): string {
  if (outcome.kind === "failed") throw new Error(outcome.message);
  const [answer] = outcome.messages as unknown as Record<string, { id: string } | undefined>[];
  const { organization, runner, workload, project, run } = answer!;
  return (organization ?? runner ?? workload ?? project ?? run)!.id;
}
