/* How an issue shows by its labels what became of its run: pure. */
import type { RunState } from "../domain/run-state.ts";
import type { Call, ReportTarget } from "./report-calls.ts";
import { callOf, projectUrl } from "./report-calls.ts";

/** Of the labels that begin so an issue has one: `status:todo` is people's, the others say what became of it. */
const labels = ["status:todo", "status:doing", "status:done", "status:failed"] as const;
type StatusLabel = (typeof labels)[number];

const labelOf: Record<RunState, StatusLabel> = {
  queued: "status:doing",
  running: "status:doing",
  succeeded: "status:done",
  failed: "status:failed",
  cancelled: "status:failed",
};
/** For forges that want the label to be there before it is used. */
const colors: Record<StatusLabel, string> = {
  "status:todo": "#8d96a0",
  "status:doing": "#bf8700",
  "status:done": "#1a7f37",
  "status:failed": "#cf222e",
};

/** The label by which an issue was taken; `undefined`: it may be. */
export function takenBy(names: readonly string[]): string | undefined {
  return names.find((one) => one !== "status:todo" && labels.some((label) => label === one));
}

/** What shows a state; undefined where none is wanted, or there is no issue. */
export function wantedLabel(target: ReportTarget, state: RunState): StatusLabel | undefined {
  return target.statusLabels && target.number > 0 && !target.isPullRequest ? labelOf[state] : undefined;
}

type Asked = { credential: string; label: StatusLabel };

/** Puts the label on the issue; GitLab takes the others off with it. */
export function addLabelCall(target: ReportTarget, { credential, label }: Asked): Call {
  const issue = `${projectUrl(target)}/issues/${target.number}`;
  if (target.forge !== "gitlab") return callOf(target, credential, ["POST", `${issue}/labels`, { labels: [label] }]);
  const stale = labels.filter((one) => one !== label).join(",");
  return callOf(target, credential, ["PUT", issue, { add_labels: label, remove_labels: stale }]);
}

/** Makes the label in the repository. */
export function makeLabelCall(target: ReportTarget, { credential, label }: Asked): Call {
  return callOf(target, credential, ["POST", `${projectUrl(target)}/labels`, { name: label, color: colors[label] }]);
}

/** The labels that a forge says an issue has. */
export type IssueLabel = { id: number; name: string };

/** Of an answer of a forge, those with a name; throws where it is not JSON. */
export function issueLabelsOf(answer: string): IssueLabel[] {
  const parsed = JSON.parse(answer) as unknown;
  if (!Array.isArray(parsed)) return [];
  return parsed.filter((one: Partial<IssueLabel> | null) => typeof one?.name === "string") as IssueLabel[];
}

/** Takes the other status labels off; the new one is there already, so that at no moment there is none. */
export function dropLabelCalls(target: ReportTarget, asked: Asked, found: readonly IssueLabel[]): Call[] {
  const stale = found.filter(({ name }) => name !== asked.label && labels.some((one) => one === name));
  return stale.map(({ id, name }) => {
    const which = target.forge === "github" ? encodeURIComponent(name) : String(id);
    const url = `${projectUrl(target)}/issues/${target.number}/labels/${which}`;
    return callOf(target, asked.credential, ["DELETE", url, undefined]);
  });
}
