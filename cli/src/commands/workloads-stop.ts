import { defineCommand } from "../command.ts";
import { confirm } from "../confirm.ts";
import { parseDuration, toProtoDuration } from "../durations.ts";
import { required } from "../required.ts";
import { reasonOption, yesOption } from "../option-sets.ts";
import { isTerminal, phaseText, workloadView } from "../views/workload.ts";

export const workloadsStop = defineCommand({
  path: ["workloads", "stop"],
  summary: "Asks for the end of a workload: SIGTERM, then SIGKILL after the grace",
  arguments: { workload: { kind: "required", help: "the workload: id, name or start of an id" } },
  options: {
    grace: {
      kind: "parsed",
      placeholder: "duration",
      parse: parseDuration,
      help: "between SIGTERM and SIGKILL (default: the workload's own)",
    },
    reason: reasonOption,
    force: {
      kind: "flag",
      help: "where its runner is out of reach: declare it lost at once; only you know that nothing runs there",
    },
    yes: yesOption,
  },
  examples: ["agynctl workloads stop nightly", "agynctl workloads stop wkl_k3 --grace 30s --reason 'wrong branch'"],
  async run(context, { workload }, { grace, reason = "", force, yes }) {
    const { orchestrator } = await context.controlPlane();
    if (force) await confirm(context, `declare ${workload} lost, where its runner is out of reach?`, yes);
    const graceDuration = grace === undefined ? undefined : toProtoDuration(grace);
    const answer = await orchestrator.stopWorkload({
      workload,
      organization: context.organization,
      grace: graceDuration,
      reason,
      force,
    });
    const stopped = required(answer.workload, "workload");
    const sentence = isTerminal(stopped)
      ? `${stopped.id} is ${phaseText(stopped)}`
      : `asked for the end of ${stopped.id}, which is ${phaseText(stopped)}`;
    await context.output.done(workloadView, stopped, sentence);
    return undefined;
  },
});
