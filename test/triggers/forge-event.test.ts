import { expect, test } from "vitest";
import type { ForgeName, WebhookConfig } from "../../server/src/domain/trigger-config.ts";
import { agentCapabilities, checkEvent } from "../../server/src/triggers/check-event.ts";
import { readForgeEvent, type ForgeEvent } from "../../server/src/triggers/forge-event.ts";
import { cleanJson } from "../../server/src/triggers/json-fields.ts";

const sha = "0123456789abcdef0123456789abcdef01234567";
const zeros = "0".repeat(40);
const repository = { full_name: "acme/web", clone_url: "https://f.example/acme/web.git" };
const pullOf = (head: string | null) => ({
  number: 7,
  pull_request: {
    merged: true,
    head: { ref: "fix", sha, repo: head === null ? null : { full_name: head } },
    base: { ref: "main", repo: { full_name: "acme/web" } },
    labels: [{ name: "ready" }],
  },
});

test.each<[string, ForgeName, string, object, Partial<ForgeEvent>]>([
  [
    "a push",
    "forgejo",
    "push",
    { ref: "refs/heads/a/b", after: sha, sender: { login: "mia" } },
    { event: "push", branch: "a/b", commit: sha, author: "mia" },
  ],
  ["a tag", "github", "push", { ref: "refs/tags/v1", after: sha }, { event: "tag", tag: "v1", branch: "" }],
  [
    "a deleted branch",
    "gitea",
    "push",
    { ref: "refs/heads/a", after: zeros },
    { event: "delete", branch: "a", commit: "" },
  ],
  [
    "new commits",
    "github",
    "pull_request",
    { ...pullOf("acme/web"), action: "synchronize" },
    { event: "pull_request", action: "synchronized", branch: "main", commit: sha, labels: ["ready"] },
  ],
  [
    "new commits, by Forgejo",
    "forgejo",
    "pull_request_sync",
    { ...pullOf("acme/web"), action: "synchronized" },
    { event: "pull_request", action: "synchronized" },
  ],
  ["a merge", "forgejo", "pull_request", { ...pullOf("acme/web"), action: "closed" }, { action: "merged" }],
  [
    "a label",
    "forgejo",
    "issues",
    { action: "label_updated", issue: { number: 3, labels: [{ name: "agent:code" }] } },
    { event: "issues", action: "labeled", labels: ["agent:code"] },
  ],
  [
    "a comment",
    "github",
    "issue_comment",
    { action: "created", issue: { number: 3, pull_request: {} } },
    { event: "comment", action: "created" },
  ],
  [
    "a push to GitLab",
    "gitlab",
    "",
    {
      object_kind: "push",
      ref: "refs/heads/main",
      after: sha,
      checkout_sha: sha,
      user_username: "mia",
      user_name: "root",
      total_commits_count: 0,
    },
    { event: "push", branch: "main", commit: sha, author: "mia" },
  ],
  [
    "a tag of GitLab, by its commit",
    "gitlab",
    "",
    { object_kind: "tag_push", ref: "refs/tags/v1", after: "a".repeat(40), checkout_sha: sha },
    { event: "tag", tag: "v1", commit: sha },
  ],
  [
    "a merge request",
    "gitlab",
    "",
    {
      object_kind: "merge_request",
      object_attributes: {
        iid: 4,
        action: "update",
        oldrev: sha,
        target_branch: "main",
        source_branch: "fix",
        source_project_id: 1,
        target_project_id: 1,
        last_commit: { id: sha },
      },
    },
    { event: "pull_request", action: "synchronized", branch: "main", commit: sha },
  ],
  [
    "an issue of GitLab",
    "gitlab",
    "",
    {
      object_kind: "issue",
      object_attributes: { iid: 4, action: "update", title: "t" },
      changes: { labels: {} },
      labels: [{ title: "agent:code" }],
    },
    { event: "issues", action: "labeled", labels: ["agent:code"] },
  ],
  [
    "nothing that makes sense",
    "github",
    "push",
    { ref: 7, after: {}, commits: "all", sender: [] },
    { event: "push", branch: "", commit: "", author: "" },
  ],
  ["a commit that is none", "github", "push", { ref: "refs/heads/main", after: "--upload-pack=x" }, { commit: "" }],
])("%s is read", (...[, forge, name, payload, expected]) => {
  expect(readForgeEvent(forge, name, payload)).toMatchObject(expected);
});

test.each([
  ["acme/web", false],
  ["eve/web", true],
  [null, true],
])("a pull request from %s: from a fork is %s", (head, expected) => {
  expect(readForgeEvent("github", "pull_request", pullOf(head)).pull_request!.from_fork).toBe(expected);
});

test("a merge request without its projects counts as one from a fork", () => {
  const payload = { object_kind: "merge_request", object_attributes: { iid: 1 } };
  expect(readForgeEvent("gitlab", "", payload).pull_request!.from_fork).toBe(true);
});

test.each([
  ["all of them", 1, { modified: ["a"] }, true],
  ["fewer commits than there are", 20, { modified: ["a"] }, false],
])("files of a push are whole where the forge names %s", (_name, total, files, expected) => {
  const payload = { ref: "refs/heads/main", after: sha, commits: [files], total_commits: total };
  expect(readForgeEvent("forgejo", "push", payload)).toMatchObject({ paths: ["a"], are_paths_whole: expected });
});

test("what the database cannot hold is gone, and a member named __proto__ is only that", () => {
  const payload = JSON.parse('{"a\\u0000":"b\\u0000\\ud800","__proto__":{"x":1}}') as unknown;
  expect(JSON.stringify(cleanJson(payload))).toBe('{"a":"b\uFFFD","__proto__":{"x":1}}');
});

const config: WebhookConfig = {
  kind: "webhook",
  forge: "forgejo",
  ...{ events: [], actions: [], branches: [], tags: [], paths: [], authors: [], labels: [] },
  forks: "refuse",
  agentLabels: false,
};
const push = readForgeEvent("forgejo", "push", {
  ...{ ref: "refs/heads/main", after: sha, repository, total_commits: 1, commits: [{ modified: ["src/a.ts"] }] },
  sender: { login: "Mia" },
});
const tag = readForgeEvent("forgejo", "push", { ref: "refs/tags/v1", after: sha, repository });
const source = "ssh://git@f.example/acme/web.git";

test.each<[string, Partial<WebhookConfig>, ForgeEvent, string | undefined]>([
  ["nothing", {}, push, undefined],
  ["the branch", { branches: ["main"] }, push, undefined],
  ["the start of the branch (bad-34)", { branches: ["mai"] }, push, "branches"],
  ["tags alone", { tags: ["v*"] }, push, "branches"],
  ["tags or branches", { tags: ["v*"], branches: ["main"], events: ["push", "tag"] }, tag, undefined],
  ["another tag", { tags: ["v2"], events: ["tag"] }, tag, "tags"],
  ["the file", { paths: ["src/**"] }, push, undefined],
  ["another file", { paths: ["docs/**"] }, push, "paths"],
  ["files that are not all named", { paths: ["docs/**"] }, { ...push, are_paths_whole: false }, undefined],
  ["the user, whose name's case does not matter", { authors: ["mia"] }, push, undefined],
  ["the start of the user (bad-34)", { authors: ["mi"] }, push, "authors"],
  ["a wildcard for the user (bad-34)", { authors: ["*"] }, push, "authors"],
  ["a label where there is none (bad-34)", { labels: ["ready"] }, push, "labels"],
  ["the start of a label (bad-34)", { labels: ["job-1"] }, { ...push, labels: ["job-10"] }, "labels"],
  ["an event that is not asked for", { events: ["tag"] }, push, "events"],
])("a filter for %s", (_name, changes, event, broken) => {
  const found = checkEvent({ ...config, ...changes }, event, source).find(({ ok }) => !ok);
  expect(found?.rule).toBe(broken);
});

test.each([
  ["ssh://git@f.example/acme/web.git", true],
  ["https://f.example/ACME/web/", true],
  ["https://f.example/acme/web2", false],
  ["https://f.example/xacme/web", false],
])("an event of acme/web for a project from %s: %s", (url, expected) => {
  expect(checkEvent(config, push, url)[0]).toMatchObject({ rule: "repository", ok: expected });
});

test.each([
  ["a list", [1], "repository"],
  ["a payload without a repository", { ref: "refs/heads/main", after: sha }, "repository"],
  ["a push without a commit", { ref: "refs/heads/main", repository }, "commit"],
  ["a push whose commit is none", { ref: "refs/heads/main", after: "main", repository }, "commit"],
])("%s starts nothing, though its signature is right", (_name, payload, broken) => {
  const found = checkEvent(config, readForgeEvent("forgejo", "push", payload), source).find(({ ok }) => !ok);
  expect(found?.rule).toBe(broken);
});

test("labels for agents are capabilities, and others are only labels", () => {
  const payload = {
    action: "opened",
    issue: {
      number: 42,
      labels: ["agent:code:rust", "agent:review", "agents", "priority:high"].map((name) => ({ name })),
    },
  };
  const event = readForgeEvent("forgejo", "issues", { ...payload, repository });
  expect(agentCapabilities(event)).toEqual(["code:rust", "review"]);
  expect(checkEvent({ ...config, agentLabels: true }, event, source).every(({ ok }) => ok)).toBe(true);
  const closed = checkEvent({ ...config, agentLabels: true }, { ...event, action: "closed" }, source);
  expect(closed.find(({ ok }) => !ok)?.rule).toBe("agent_labels");
});
