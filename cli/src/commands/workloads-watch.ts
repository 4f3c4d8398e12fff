import { streamOptions } from "../client.ts";
import { defineCommand } from "../command.ts";
import { workloadView } from "../views/workload.ts";
import { watch } from "../watch.ts";

export const workloadsWatch = defineCommand({
  path: ["workloads", "watch"],
  summary: "Shows the live workloads, then every change, until Ctrl-C",
  arguments: {},
  options: {},
  examples: ["agynctl workloads watch", "agynctl workloads watch -o json"],
  async run(context) {
    const { orchestrator } = await context.controlPlane();
    const { organization } = context;
    return watch(context, workloadView, {
      open: (bookmark) => orchestrator.watchWorkloads({ organization, bookmark }, streamOptions),
      items: (message) => message.workloads,
    });
  },
});
