import { toJson, type DescMethod, type Message } from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { MemberRole } from "../../proto/gen/agyn/organizations/v1/organizations_service_pb.ts";
import { methods } from "./access-matrix.ts";
import { call } from "./call.ts";
import { requestOf } from "./requests.ts";
import { openContractWorld, waitingPipeline, type ContractWorld } from "./world.ts";

type Page = { items: string[]; next: string };

let contract: ContractWorld;

beforeAll(async () => {
  contract = await openContractWorld();
  const { admin, acme } = contract;
  // The admin belongs to acme here, so that one caller sees every list.
  await admin.clients.organizations.setMember({
    organization: acme.organizationId,
    user: "admin",
    role: MemberRole.OWNER,
  });
  for (const name of ["a", "b", "c"]) {
    await admin.clients.tokens.createAccessToken({ name });
    await contract.registerRunner("acme");
    await contract.createProject();
    await contract.createTrigger();
    await contract.createWebhook();
    await admin.clients.webhooks.testWebhook({ webhook: acme.webhookId });
    await acme.deliver();
    await contract.users.olga.clients.triggers.createTriggerToken({ organization: "acme", project: "first", name });
    await contract.createArtifact();
    await admin.clients.secrets.setSecret({ organization: "acme", name, value: "a value" });
    await admin.clients.runs.startRun({ organization: "acme", ...waitingPipeline });
    const spec = { command: { case: "simulation", value: {} } } as const;
    await admin.clients.orchestrator.startWorkload({ organization: "acme", spec, demand: { executor: "simulated" } });
  }
});
afterAll(() => contract.close());

const lists = methods.filter(({ input }) => input.fields.some(({ name }) => name === "page_token"));
const each = lists.map((method) => [method.name, method] as const);

test("there are lists", () => {
  expect(lists.map(({ name }) => name)).toContain("ListRunners");
});

describe("bad-48: lists show nothing of other organizations, and page within bounds", () => {
  test.each(each)("%s comes page by page, each thing once, in the order of the whole", async (_name, method) => {
    const whole = await listed(method, { pageSize: 1000 });
    const items: string[] = [];
    let next = "";
    do {
      const page = await listed(method, { pageSize: 1, pageToken: next });
      expect(page.items.length).toBe(1);
      items.push(...page.items);
      next = page.next;
    } while (next !== "");
    expect(items.length).toBeGreaterThanOrEqual(3);
    expect(items).toEqual(whole.items);
  });

  test.each(each)(
    "%s refuses a page size of 2^31 - 1, one above the bound, and a negative one",
    async (_name, method) => {
      for (const pageSize of [2 ** 31 - 1, 1001, -1])
        expect(await reasonOf(method, { pageSize })).toBe("INVALID_ARGUMENT");
    },
  );

  test.each(each)("%s refuses the page tokens of every other list, and made-up ones", async (_name, method) => {
    const tokens = ["AAAA", Buffer.from("\0").toString("base64url"), Buffer.from("runner").toString("base64url"), "x"];
    for (const other of lists) if (other !== method) tokens.push((await listed(other, { pageSize: 1 })).next);
    for (const pageToken of tokens) expect(await reasonOf(method, { pageToken }), pageToken).toBe("INVALID_ARGUMENT");
  });
});

function listRequest(method: DescMethod, page: { pageSize?: number; pageToken?: string }): Message {
  const request = requestOf(method, { ...contract.acme, spareTokenId: "" });
  const all = method.name === "ListOrganizations" ? { all: true } : {};
  return Object.assign(request, all, page);
}

const transport = () => contract.userPlane(contract.admin.token);

async function reasonOf(method: DescMethod, page: { pageSize?: number; pageToken?: string }): Promise<string> {
  const outcome = await call(transport(), method, listRequest(method, page));
  return outcome.kind === "answered" ? "answered" : (outcome.reason ?? outcome.message);
}

/** A page: its things as text, without what changes by looking. */
async function listed(method: DescMethod, page: { pageSize?: number; pageToken?: string }): Promise<Page> {
  const outcome = await call(transport(), method, listRequest(method, page));
  if (outcome.kind === "failed") throw new Error(outcome.message);
  const answer = reflect(method.output, outcome.messages[0]);
  const field = method.output.fields.find(({ fieldKind }) => fieldKind === "list")!;
  const next = method.output.fields.find(({ name }) => name === "next_page_token")!;
  if (field.fieldKind !== "list" || field.listKind !== "message") throw new Error(`${method.name} lists no messages`);
  const { message } = field;
  const items = [...answer.get(field)].map((item) => keyOf(toJson(message, (item as { message: Message }).message)));
  return { items, next: answer.get(next) as string };
}

function keyOf(json: unknown): string {
  const { id, userId } = json as { id?: string; userId?: string };
  return id ?? userId ?? JSON.stringify(json);
}
