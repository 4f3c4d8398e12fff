import { expect, test } from "vitest";
import { matches } from "../../support/fabric/access.ts";

test.each<[roles: string[] | null, semantic: "AllOf" | "AnyOf" | undefined, is: boolean]>([
  [["#runner"], "AllOf", true],
  [["#runner", "#blue"], "AllOf", true],
  [["#runner", "#red"], "AllOf", false],
  [["#runner", "#red"], "AnyOf", true],
  [["#runner", "#red"], undefined, false],
  [["#red", "@id-1"], "AllOf", true],
  [["@id-2"], "AnyOf", false],
  [["#all"], "AllOf", true],
  [[], "AllOf", false],
  [null, "AnyOf", false],
])("roles %j, %s: %s", (roles, semantic, is) => {
  expect(matches(roles, semantic, { id: "id-1", roleAttributes: ["runner", "blue"] })).toBe(is);
});
