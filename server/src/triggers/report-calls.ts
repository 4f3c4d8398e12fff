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

export type Call = { method: "POST" | "PATCH" | "PUT"; url: string; headers: Record<string, string>; body: string };

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

type Said = { credential: string; state: RunState; runNumber: bigint };

/** The call that sets the commit's status; undefined where none is wanted. */
export function statusCall(target: ReportTarget, said: Said): Call | undefined {
  if (!target.commitStatus || target.commit === "") return undefined;
  const isGitlab = target.forge === "gitlab";
  const state = (isGitlab ? gitlabStates : states)[said.state];
  const url = `${projectUrl(target)}/statuses/${target.commit}`;
  const body = { state, context: target.context, description: textOf(said) };
  return { method: "POST", url, headers: headersOf(target, said), body: JSON.stringify(body) };
}

/** The call that writes the comment, or changes the one with an id; undefined where none is wanted. */
export function commentCall(target: ReportTarget, said: Said, commentId: string): Call | undefined {
  if (!target.comment || target.number === 0) return undefined;
  const body = JSON.stringify({ body: `${target.context}: ${textOf(said)}` });
  const headers = headersOf(target, said);
  const project = projectUrl(target);
  if (target.forge === "gitlab") {
    const notes = `${project}/${target.isPullRequest ? "merge_requests" : "issues"}/${target.number}/notes`;
    if (commentId === "") return { method: "POST", url: notes, headers, body };
    return { method: "PUT", url: `${notes}/${commentId}`, headers, body };
  }
  if (commentId === "") return { method: "POST", url: `${project}/issues/${target.number}/comments`, headers, body };
  return { method: "PATCH", url: `${project}/issues/comments/${commentId}`, headers, body };
}

function projectUrl({ apiUrl, forge, repository }: ReportTarget): string {
  const base = apiUrl.replace(/\/+$/, "");
  if (forge === "gitlab") return `${base}/projects/${encodeURIComponent(repository)}`;
  return `${base}/repos/${repository.split("/").map(encodeURIComponent).join("/")}`;
}

function headersOf({ forge }: ReportTarget, { credential }: Said): Record<string, string> {
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

function textOf({ state, runNumber }: Said): string {
  return hasRunEnded(state) || state === "queued" ? `run ${runNumber} ${state}` : `run ${runNumber} is running`;
}
