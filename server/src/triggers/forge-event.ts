/* One shape for what forges send, whoever sends it. */
import { fieldOf, listOf, numberOf, textOf } from "./json-fields.ts";
import type { ForgeName } from "../domain/trigger-config.ts";

/** What happened, in our words. Texts are empty and numbers 0 where the payload says nothing. */
export type ForgeEvent = {
  forge: ForgeName;
  /** push, tag, delete, pull_request, issues, comment; else as the sender calls it. */
  event: string;
  /** opened, closed, reopened, edited, synchronized, labeled, unlabeled, merged, …; else as the sender calls it. */
  action: string;
  /** Such as refs/heads/main. */
  ref: string;
  branch: string;
  tag: string;
  /** Of a push or pull request; empty where the event is about none. */
  commit: string;
  /** Files that the push touched. */
  paths: readonly string[];
  /** Whether `paths` are all. */
  are_paths_whole: boolean;
  /** Who did it, as the forge knows them; never the author that a commit names. */
  author: string;
  labels: readonly string[];
  repository: { full_name: string; clone_url: string; html_url: string };
  pull_request: PullRequest | null;
  issue: { number: number; title: string; body: string; html_url: string } | null;
};

export type PullRequest = {
  number: number;
  title: string;
  head: string;
  base: string;
  /** Of the branch that it would merge. */
  head_commit: string;
  from_fork: boolean;
  html_url: string;
};

const noCommit = /^0+$/;
const commitForm = /^([0-9a-f]{40}|[0-9a-f]{64})$/;
const pathLimit = 1000;
const pathBytesLimit = 65_536;
const labelLimit = 100;

/** Reads a payload; `name` is the event's name in the sender's headers. */
export function readForgeEvent(forge: ForgeName, name: string, payload: unknown): ForgeEvent {
  if (forge === "gitlab") return readGitlab(payload);
  if (forge === "generic") return { ...nothing, forge, event: name || textOf(payload, "event") };
  return readGithubLike(forge, name, payload);
}

const nothing: Omit<ForgeEvent, "forge"> = {
  event: "",
  action: "",
  ref: "",
  branch: "",
  tag: "",
  commit: "",
  paths: [],
  are_paths_whole: false,
  author: "",
  labels: [],
  repository: { full_name: "", clone_url: "", html_url: "" },
  pull_request: null,
  issue: null,
};

const eventNames: Readonly<Record<string, string>> = {
  issue_comment: "comment",
  pull_request_comment: "comment",
  issue_label: "issues",
  issue_assign: "issues",
  issue_milestone: "issues",
  pull_request_sync: "pull_request",
  pull_request_label: "pull_request",
};
const actionNames: Readonly<Record<string, string>> = {
  synchronize: "synchronized",
  label_updated: "labeled",
  label_cleared: "unlabeled",
};

/** Forgejo and Gitea follow GitHub but for some names. */
function readGithubLike(forge: ForgeName, name: string, payload: unknown): ForgeEvent {
  const event = eventNames[name] ?? name;
  const action = textOf(payload, "action");
  const common: ForgeEvent = {
    ...nothing,
    forge,
    event,
    action: actionNames[action] ?? action,
    author: textOf(payload, "sender.login") || textOf(payload, "pusher.login"),
    repository: {
      full_name: textOf(payload, "repository.full_name"),
      clone_url: textOf(payload, "repository.clone_url"),
      html_url: textOf(payload, "repository.html_url"),
    },
  };
  if (event === "push") return { ...common, ...pushOf(payload, "after", totalOf(payload)) };
  if (fieldOf(payload, "pull_request") !== undefined && event !== "comment") return readPullRequest(common, payload);
  const issue = fieldOf(payload, "issue");
  if (typeof issue !== "object" || issue === null) return common;
  return {
    ...common,
    labels: namesOf(listOf(issue, "labels"), "name"),
    issue: {
      number: numberOf(issue, "number"),
      title: textOf(issue, "title"),
      body: textOf(issue, "body"),
      html_url: textOf(issue, "html_url"),
    },
  };
}

/** GitHub does not count; it names at most 2048 commits. Forgejo and Gitea name a few, and count all. */
function totalOf(payload: unknown): number {
  const total = fieldOf(payload, "total_commits");
  return typeof total === "number" ? total : listOf(payload, "commits").length;
}

function readPullRequest(common: ForgeEvent, payload: unknown): ForgeEvent {
  const pull = fieldOf(payload, "pull_request");
  const isMerged = common.action === "closed" && fieldOf(pull, "merged") === true;
  const [head, base] = [textOf(pull, "head.repo.full_name"), textOf(pull, "base.repo.full_name")];
  return {
    ...common,
    event: "pull_request",
    action: isMerged ? "merged" : common.action,
    branch: textOf(pull, "base.ref"),
    ref: refOf("heads", textOf(pull, "head.ref")),
    commit: commitOf(textOf(pull, "head.sha")),
    labels: namesOf(listOf(pull, "labels"), "name"),
    pull_request: {
      number: numberOf(payload, "number") || numberOf(pull, "number"),
      title: textOf(pull, "title"),
      head: textOf(pull, "head.ref"),
      base: textOf(pull, "base.ref"),
      head_commit: commitOf(textOf(pull, "head.sha")),
      // A fork that was deleted meanwhile has no name: it counts as one.
      from_fork: head === "" || head.toLowerCase() !== base.toLowerCase(),
      html_url: textOf(pull, "html_url"),
    },
  };
}

const gitlabActions: Readonly<Record<string, string>> = {
  open: "opened",
  close: "closed",
  reopen: "reopened",
  merge: "merged",
  update: "edited",
};

function readGitlab(payload: unknown): ForgeEvent {
  const kind = textOf(payload, "object_kind");
  const action = textOf(payload, "object_attributes.action");
  const common: ForgeEvent = {
    ...nothing,
    forge: "gitlab",
    event: kind,
    action: gitlabActions[action] ?? action,
    author: textOf(payload, "user_username") || textOf(payload, "user.username"),
    labels: namesOf(listOf(payload, "labels"), "title"),
    repository: {
      full_name: textOf(payload, "project.path_with_namespace"),
      clone_url: textOf(payload, "project.git_http_url"),
      html_url: textOf(payload, "project.web_url"),
    },
  };
  if (kind === "push" || kind === "tag_push") {
    return { ...common, ...pushOf(payload, "checkout_sha", numberOf(payload, "total_commits_count")) };
  }
  if (kind === "merge_request") return readMergeRequest(common, payload);
  const isIssue = kind === "issue" || kind === "work_item";
  if (!isIssue && kind !== "note") return common;
  const issue = isIssue ? fieldOf(payload, "object_attributes") : fieldOf(payload, "issue");
  return {
    ...common,
    event: isIssue ? "issues" : "comment",
    action: common.action === "edited" && fieldOf(payload, "changes.labels") !== undefined ? "labeled" : common.action,
    issue: {
      number: numberOf(issue, "iid"),
      title: textOf(issue, "title"),
      body: textOf(issue, "description"),
      html_url: textOf(issue, "url"),
    },
  };
}

function readMergeRequest(common: ForgeEvent, payload: unknown): ForgeEvent {
  const request = fieldOf(payload, "object_attributes");
  const hasNewCommits = common.action === "edited" && textOf(request, "oldrev") !== "";
  const commit = commitOf(textOf(request, "last_commit.id"));
  return {
    ...common,
    event: "pull_request",
    action: hasNewCommits ? "synchronized" : common.action,
    branch: textOf(request, "target_branch"),
    ref: refOf("heads", textOf(request, "source_branch")),
    commit,
    pull_request: {
      number: numberOf(request, "iid"),
      title: textOf(request, "title"),
      head: textOf(request, "source_branch"),
      base: textOf(request, "target_branch"),
      head_commit: commit,
      from_fork:
        numberOf(request, "source_project_id") === 0 ||
        numberOf(request, "source_project_id") !== numberOf(request, "target_project_id"),
      html_url: textOf(request, "url"),
    },
  };
}

/** `total`: how many commits there are beside those that are named. */
function pushOf(payload: unknown, commitField: string, total: number): Partial<ForgeEvent> {
  const ref = textOf(payload, "ref");
  const branch = ref.startsWith("refs/heads/") ? ref.slice("refs/heads/".length) : "";
  const tag = ref.startsWith("refs/tags/") ? ref.slice("refs/tags/".length) : "";
  if (noCommit.test(textOf(payload, "after"))) return { event: "delete", ref, branch, tag };
  const commits = listOf(payload, "commits");
  const all = new Set(
    commits.flatMap((one) =>
      ["added", "removed", "modified"].flatMap((field) =>
        listOf(one, field).filter((path): path is string => typeof path === "string"),
      ),
    ),
  );
  const paths: string[] = [];
  let bytes = 0;
  for (const path of all) {
    bytes += path.length;
    if (paths.length < pathLimit && bytes <= pathBytesLimit) paths.push(path.replaceAll("\0", "").toWellFormed());
  }
  const isWhole = commits.length > 0 && commits.length >= total && paths.length === all.size;
  const commit = commitOf(textOf(payload, commitField)) || commitOf(textOf(payload, "after"));
  return { event: tag === "" ? "push" : "tag", ref, branch, tag, commit, paths, are_paths_whole: isWhole };
}

function commitOf(text: string): string {
  return commitForm.test(text) && !noCommit.test(text) ? text : "";
}

function refOf(kind: "heads", name: string): string {
  return name === "" ? "" : `refs/${kind}/${name}`;
}

function namesOf(items: readonly unknown[], field: string): string[] {
  const names = items.slice(0, labelLimit).map((item) => textOf(item, field));
  return names.filter((name) => name !== "");
}
