import { defineCommand } from "../command.ts";
import { streamOptions } from "../client.ts";
import { runnerView } from "../views/runner.ts";
import { watch } from "../watch.ts";

export const runnersWatch = defineCommand({
  path: ["runners", "watch"],
  summary: "Shows the runners, then every change, until Ctrl-C",
  arguments: {},
  options: {},
  examples: ["agynctl runners watch", "agynctl runners watch -o json"],
  async run(context) {
    const { runners } = await context.controlPlane();
    const { organization } = context;
    return watch(context, runnerView, {
      open: (bookmark) => runners.watchRunners({ organization, bookmark }, streamOptions),
      items: (message) => message.runners,
    });
  },
});
