import { createContextValues } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { auditOf } from "../../server/src/api/audit.ts";
import { callerKey } from "../../server/src/api/context.ts";

test("what nobody said is no detail of an event", () => {
  const caller = { userId: "usr_a", userName: "ann", clusterAdmin: false, tokenId: "", scopes: [], memberships: [] };
  const values = createContextValues().set(callerKey, { kind: "user", ...caller });
  const event = { scope: { kind: "cluster" }, action: "runner.pause" } as const;

  const { details } = auditOf({ values }, { ...event, details: { reason: "", force: "false" } });

  expect(details).toEqual({ force: "false" });
});
