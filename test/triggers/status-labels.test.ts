import { expect, test } from "vitest";
import type { ReportTarget } from "../../server/src/triggers/report-calls.ts";
import {
  addLabelCall,
  dropLabelCalls,
  issueLabelsOf,
  makeLabelCall,
  takenBy,
  wantedLabel,
} from "../../server/src/triggers/status-labels.ts";

const target: ReportTarget = {
  ...{ apiUrl: "https://f.example/api", commitStatus: false, comment: false, statusLabels: true, forge: "forgejo" },
  ...{ repository: "acme/web", commit: "", number: 7, isPullRequest: false, context: "agyn/web/hook" },
};
const asked = { credential: "t", label: "status:doing" } as const;
const found = [
  { id: 1, name: "agent:code" },
  { id: 2, name: "status:todo" },
  { id: 3, name: "status:doing" },
  { id: 4, name: "status:mine" },
];

test.each([
  ["queued", "status:doing"],
  ["running", "status:doing"],
  ["succeeded", "status:done"],
  ["failed", "status:failed"],
  ["cancelled", "status:failed"],
] as const)("an issue whose run is %s is %s", (state, label) => {
  expect(wantedLabel(target, state)).toBe(label);
  expect(wantedLabel({ ...target, isPullRequest: true }, state)).toBeUndefined();
  expect(wantedLabel({ ...target, number: 0 }, state)).toBeUndefined();
  expect(wantedLabel({ ...target, statusLabels: false }, state)).toBeUndefined();
});

test("Forgejo and GitHub get the new label, and then lose the old ones, by id or by name", () => {
  const issue = "https://f.example/api/repos/acme/web/issues/7/labels";
  expect(addLabelCall(target, asked)).toMatchObject({
    method: "POST",
    url: issue,
    body: '{"labels":["status:doing"]}',
  });
  expect(dropLabelCalls(target, asked, found)).toMatchObject([{ method: "DELETE", url: `${issue}/2`, body: "" }]);
  const [drop] = dropLabelCalls({ ...target, forge: "github" }, asked, found);
  expect(drop!.url).toBe(`${issue}/status%3Atodo`);
  const made = makeLabelCall(target, asked);
  expect(made.url).toBe("https://f.example/api/repos/acme/web/labels");
  expect(JSON.parse(made.body)).toEqual({ name: "status:doing", color: "#bf8700" });
});

test("GitLab gets and loses labels in one call", () => {
  const { method, url, body } = addLabelCall({ ...target, forge: "gitlab" }, asked);
  expect(`${method} ${url}`).toBe("PUT https://f.example/api/projects/acme%2Fweb/issues/7");
  const stale = "status:todo,status:done,status:failed";
  expect(JSON.parse(body)).toEqual({ add_labels: "status:doing", remove_labels: stale });
});

test("an issue is taken by any status label but the one that says that it is to be done", () => {
  expect(takenBy(["agent:code", "status:todo"])).toBeUndefined();
  expect(takenBy(["status:todo", "status:done"])).toBe("status:done");
  expect(takenBy(["status:done-ish", "Status:done"])).toBeUndefined();
});

test("what a forge answers that are no labels is none", () => {
  expect(issueLabelsOf('{"message":"unknown label"}')).toEqual([]);
  expect(issueLabelsOf('[null, {"id":3}, {"id":4,"name":"status:done"}]')).toEqual([{ id: 4, name: "status:done" }]);
});
