import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { RegisterRunnerRequestSchema } from "../../proto/gen/agyn/runners/v1/runners_service_pb.ts";
import { validate } from "../../server/src/api/interceptors/validate.ts";

/** What a request to register a runner is told. */
function refusalOf(request: MessageInitShape<typeof RegisterRunnerRequestSchema>): string {
  try {
    validate(RegisterRunnerRequestSchema, create(RegisterRunnerRequestSchema, request));
    return "accepted";
  } catch (error) {
    return (error as Error).message;
  }
}

const scope = { scope: { kind: { case: "organization", value: "default" } } } as const;

test("a field that is empty is told so, and nothing of what else it is not", () => {
  expect(refusalOf({ ...scope, name: "" })).toBe("name: must not be empty");
  expect(refusalOf({ ...scope, name: "a", capabilities: ["git", ""] })).toBe("capabilities[1]: must not be empty");
});

test("a label that only runners may report is refused in words", () => {
  expect(refusalOf({ ...scope, name: "a", labels: { "agyn/os": "plan9" } })).toBe(
    'labels["agyn/os"]: the key must not contain "agyn/", which is kept for what agyn itself says',
  );
});
