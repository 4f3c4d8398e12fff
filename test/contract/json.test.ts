import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openContractWorld, type ContractWorld } from "./world.ts";

let contract: ContractWorld;

beforeAll(async () => {
  contract = await openContractWorld();
});
afterAll(() => contract.close());

const list = "agyn.runners.v1.RunnersService/ListRunners";
const setMember = "agyn.organizations.v1.OrganizationsService/SetMember";
const explain = "agyn.orchestrator.v1.OrchestratorService/Explain";
const start = "agyn.orchestrator.v1.OrchestratorService/StartWorkload";

describe("bad-19: JSON that does not fit is refused, and the server stays well", () => {
  test.each([
    ["an unknown enum", setMember, `{"user":"vera","role":"MEMBER_ROLE_KING"}`],
    ["an enum's number that is not there", list, `{"statuses":[99]}`],
    ["an unset oneof", explain, `{}`],
    ["both of a oneof", explain, `{"workload":"first","demand":{}}`],
    ["NUL in a label", list, `{"labels":{"a":"b\\u0000"}}`],
    ["NUL in a script", start, `{"spec":{"script":{"text":"echo \\u0000"}}}`],
    ["a lone surrogate in a name", start, `{"name":"\\ud800","spec":{"script":{"text":"true"}}}`],
    ["a number that is none", list, `{"pageSize":"many"}`],
    ["an object nested 10,000 deep", list, `{"labels":${`{"a":`.repeat(10_000)}1${"}".repeat(10_000)}}`],
    ["half an object", list, `{"labels":`],
    ["an array", list, `[]`],
  ])("%s", async (_name, path, body) => {
    expect(await post(path, body)).toEqual({ status: 400, code: "invalid_argument" });
    expect(await post(list, "{}")).toEqual({ status: 200, code: undefined });
  });

  test("I14: unknown fields are passed over, so that a newer client is understood", async () => {
    expect(await post(list, `{"notYetInvented":{"deep":[1,2,3]}}`)).toEqual({ status: 200, code: undefined });
  });

  test("a request of 9 MiB is refused by its size", async () => {
    const body = JSON.stringify({ organization: "a".repeat(9 * 1024 * 1024) });
    expect(await post(list, body)).toEqual({ status: 429, code: "resource_exhausted" });
  });
});

async function post(path: string, body: string): Promise<{ status: number; code: string | undefined }> {
  const response = await fetch(`${contract.world.server.gateway}/${path}`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${contract.users.olga.token}` },
    body,
    signal: AbortSignal.timeout(20_000),
  });
  const { code } = (await response.json()) as { code?: string };
  return { status: response.status, code };
}
