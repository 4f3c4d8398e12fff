/* How each forge is told of a run: pure. */
import { hasRunEnded, type RunState } from "../domain/run-state.ts";
import type { ReportConfig, TriggerConfig } from "../domain/trigger-config.ts";
import type { ForgeEvent } from "./forge-event.ts";

/** Whom to tell, of what. */
export type ReportTarget = ReportConfig & {
  forge: "forgejo" | "gitea" | "github" | "gitlab";
  /** Such as acme/web. */
  repository: string;
  commit: string;
  /** Of the pull request or issue; 0: there is none. */
  number: number;
  isPullRequest: boolean;
  /** The name of the status. */
  context: string;
};

export type Call = {
  method: "POST" | "PATCH" | "PUT" | "DELETE";
  url: string;
  headers: Record<string, string>;
  body: string;
};

/** Whom to tell of an event's run; undefined: nobody. */
export function reportTarget(
  { report, source }: TriggerConfig,
  event: ForgeEvent | undefined,
  context: string,
): ReportTarget | undefined {
  if (!report || source.kind !== "webhook" || !event || event.forge === "generic") return undefined;
  const { forge, repository, commit, pull_request: pull, issue } = event;
  const number = pull?.number ?? issue?.number ?? 0;
  if (repository.full_name === "" || (commit === "" && number === 0)) return undefined;
  return { ...report, forge, repository: repository.full_name, commit, number, isPullRequest: pull !== null, context };
}

type Said = { credential: string; state: RunState; runNumber: bigint; attempt: number };

/** The call that sets the commit's status; undefined where none is wanted. */
export function statusCall(target: ReportTarget, said: Said): Call | undefined {
  if (!target.commitStatus || target.commit === "") return undefined;
  const isGitlab = target.forge === "gitlab";
  const state = (isGitlab ? gitlabStates : states)[said.state];
  const url = `${projectUrl(target)}/statuses/${target.commit}`;
  const body = { state, context: target.context, description: textOf(said) };
  return callOf(target, said.credential, ["POST", url, body]);
}

/** The call that writes the comment, or changes the one with an id; undefined where none is wanted. */
export function commentCall(target: ReportTarget, said: Said, commentId: string): Call | undefined {
  if (!target.comment || target.number === 0) return undefined;
  const body = { body: `${target.context}: ${textOf(said)}` };
  const project = projectUrl(target);
  const call = (method: Call["method"], url: string) => callOf(target, said.credential, [method, url, body]);
  if (target.forge === "gitlab") {
    const notes = `${project}/${target.isPullRequest ? "merge_requests" : "issues"}/${target.number}/notes`;
    return commentId === "" ? call("POST", notes) : call("PUT", `${notes}/${commentId}`);
  }
  if (commentId === "") return call("POST", `${project}/issues/${target.number}/comments`);
  return call("PATCH", `${project}/issues/comments/${commentId}`);
}

/** Where the forge's API has the repository. */
export function projectUrl({ apiUrl, forge, repository }: ReportTarget): string {
  const base = apiUrl.replace(/\/+$/, "");
  if (forge === "gitlab") return `${base}/projects/${encodeURIComponent(repository)}`;
  return `${base}/repos/${repository.split("/").map(encodeURIComponent).join("/")}`;
}

/** A call of the forge's API. */
export function callOf(
  target: ReportTarget,
  credential: string,
  [method, url, body]: [Call["method"], string, Record<string, unknown> | undefined],
): Call {
  return { method, url, headers: headersOf(target, credential), body: body === undefined ? "" : JSON.stringify(body) };
}

function headersOf({ forge }: ReportTarget, credential: string): Record<string, string> {
  const common = { "content-type": "application/json", accept: "application/json", "user-agent": "agyn" };
  if (forge === "gitlab") return { ...common, "private-token": credential };
  return { ...common, authorization: `${forge === "github" ? "Bearer" : "token"} ${credential}` };
}

/** None of them but GitLab knows that something runs, or was cancelled. */
const states: Record<RunState, string> = {
  queued: "pending",
  running: "pending",
  succeeded: "success",
  failed: "failure",
  cancelled: "error",
};
const gitlabStates: Record<RunState, string> = {
  queued: "pending",
  running: "running",
  succeeded: "success",
  failed: "failed",
  cancelled: "canceled",
};

function textOf({ state, runNumber, attempt }: Said): string {
  const run = attempt === 1 ? `run ${runNumber}` : `run ${runNumber}, attempt ${attempt},`;
  return hasRunEnded(state) || state === "queued" ? `${run} ${state}` : `${run} is running`;
}
