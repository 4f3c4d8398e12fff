import { expect, test } from "vitest";
import { commentCall, statusCall, type ReportTarget } from "../../server/src/triggers/report-calls.ts";

const target: ReportTarget = {
  ...{ apiUrl: "https://f.example/api/", commitStatus: true, comment: true, forge: "github", repository: "acme/we b" },
  ...{ commit: "c0ffee", number: 7, isPullRequest: true, context: "agyn/web/hook" },
};
const said = { credential: "t", state: "cancelled", runNumber: 5n, attempt: 1 } as const;

test.each([
  ["forgejo", "https://f.example/api/repos/acme/we%20b/statuses/c0ffee", "error", "token t"],
  ["gitea", "https://f.example/api/repos/acme/we%20b/statuses/c0ffee", "error", "token t"],
  ["github", "https://f.example/api/repos/acme/we%20b/statuses/c0ffee", "error", "Bearer t"],
  ["gitlab", "https://f.example/api/projects/acme%2Fwe%20b/statuses/c0ffee", "canceled", undefined],
] as const)("%s is told of a commit's status", (...[forge, url, state, authorization]) => {
  const call = statusCall({ ...target, forge }, said)!;
  expect(call).toMatchObject({ method: "POST", url });
  expect(JSON.parse(call.body)).toEqual({ state, context: "agyn/web/hook", description: "run 5 cancelled" });
  expect(call.headers["authorization"]).toBe(authorization);
});

test.each([
  ["github", true, "", "POST https://f.example/api/repos/acme/we%20b/issues/7/comments"],
  ["forgejo", true, "9", "PATCH https://f.example/api/repos/acme/we%20b/issues/comments/9"],
  ["gitlab", true, "", "POST https://f.example/api/projects/acme%2Fwe%20b/merge_requests/7/notes"],
  ["gitlab", false, "9", "PUT https://f.example/api/projects/acme%2Fwe%20b/issues/7/notes/9"],
] as const)("%s gets one comment, pull request %s, id %j", (...[forge, isPullRequest, id, expected]) => {
  const { method, url } = commentCall({ ...target, forge, isPullRequest }, said, id)!;
  expect(`${method} ${url}`).toBe(expected);
});

test("an attempt after the first is told by its number", () => {
  const { body } = commentCall(target, { ...said, attempt: 2, state: "running" }, "9")!;
  expect(JSON.parse(body)).toEqual({ body: "agyn/web/hook: run 5, attempt 2, is running" });
});

test("what is not wanted, or has no place, is not said", () => {
  expect(statusCall({ ...target, commitStatus: false }, said)).toBeUndefined();
  expect(commentCall({ ...target, comment: false }, said, "")).toBeUndefined();
  expect(commentCall({ ...target, number: 0 }, said, "")).toBeUndefined();
});
