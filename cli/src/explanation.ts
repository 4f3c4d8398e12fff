import { ExplanationSchema, Verdict, type Explanation } from "../../proto/gen/agyn/orchestrator/v1/explanation_pb.ts";
import type { Context } from "./context.ts";
import { exitCodes } from "./failures.ts";
import { safe } from "./output.ts";
import { layOutTable } from "./table.ts";
import { messageJson } from "./view.ts";

/** Shows for each runner whether it fits and why not; the exit code says whether any ever could. */
export async function showExplanation(context: Context, explanation: Explanation): Promise<number> {
  const { output } = context;
  await output.document(() => messageJson(ExplanationSchema)(explanation), explanationText(context, explanation));
  if (output.format === "name") for (const id of explanation.eligibleRunnerIds) await output.line(safe(id));
  return explanation.verdict === Verdict.NEVER ? exitCodes.noRunner : exitCodes.ok;
}

/** An explanation for a person: the text, and a table of the runners. */
export function explanationText(context: Context, explanation: Explanation): string {
  const tone = explanation.verdict === Verdict.PLACEABLE ? "good" : "warning";
  return `${context.output.toned(safe(explanation.text), tone)}\n${runnersText(context, explanation)}`;
}

/** What an explanation says of the runners, without its text: a table, the nearest, and what would help. */
export function runnersText({ output, terminal }: Context, explanation: Explanation): string {
  const { stdout } = terminal;
  const isPlaceable = explanation.verdict === Verdict.PLACEABLE;
  const lines: string[] = [];
  if (explanation.runners.length > 0) {
    const rows = explanation.runners.map(({ runnerName, cluster, eligible, rules }) => [
      { text: safe(runnerName) },
      { text: cluster ? "cluster" : "organization" },
      { text: eligible ? "fits" : "no" },
      { text: safe(eligible ? "" : failingRules(rules)) },
    ]);
    const width = stdout.isTTY === true && output.format !== "wide" ? stdout.columns : undefined;
    lines.push("", ...layOutTable(["RUNNER", "SCOPE", "FITS", "WHY NOT"], rows, width));
  }
  const left = explanation.runnerCount - explanation.runners.length;
  if (left > 0) lines.push(`… and ${left} more: see --limit`);
  const { nearest } = explanation;
  if (!isPlaceable && nearest !== undefined)
    lines.push("", `nearest: ${safe(nearest.runnerName)}, which lacks ${safe(nearest.lacks.join(", "))}`);
  if (!isPlaceable && explanation.smallestChange !== "")
    lines.push(`smallest change: ${safe(explanation.smallestChange)}`);
  return lines.map((line) => `${line}\n`).join("");
}

/** The rules that a runner does not meet, in words. */
export function failingRules(
  rules: readonly { readonly ok: boolean; readonly text: string; readonly rule: string }[],
): string {
  return rules
    .filter(({ ok }) => !ok)
    .map(({ rule, text }) => (text === "" ? rule : text))
    .join("; ");
}
