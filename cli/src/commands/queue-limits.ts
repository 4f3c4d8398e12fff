import { defineCommand } from "../command.ts";
import { required } from "../required.ts";
import { parseInteger } from "../requirements.ts";
import { queueSettingsView } from "../views/queue.ts";

export const queueLimits = defineCommand({
  path: ["queue", "limits"],
  summary: "Shows the limits of an organization's queue and what of them is used, or changes them",
  arguments: {},
  options: {
    maxRunning: {
      kind: "parsed",
      placeholder: "n",
      parse: parseInteger("running jobs", 0, 1_000_000),
      help: "at most so many jobs run at once; 0: any number",
    },
    maxQueued: {
      kind: "parsed",
      placeholder: "n",
      parse: parseInteger("queued jobs", 1, 1_000_000),
      help: "a run is refused where more jobs than that would wait for a runner, all of its own included",
    },
    weight: {
      kind: "parsed",
      placeholder: "n",
      parse: parseInteger("weight", 1, 1000),
      help: "its share beside other organizations on runners that serve all; set by cluster admins",
    },
  },
  examples: ["agynctl queue limits", "agynctl queue limits --max-running 20 --max-queued 5000"],
  async run({ controlPlane, organization, output }, _values, { maxRunning, maxQueued, weight }) {
    const { queue } = await controlPlane();
    if (weight !== undefined) await queue.setQueueWeight({ organization, weight });
    const answer =
      maxRunning === undefined && maxQueued === undefined
        ? await queue.getQueueSettings({ organization })
        : await queue.updateQueueSettings({
            organization,
            ...(maxRunning !== undefined && { maximumRunningJobs: maxRunning }),
            ...(maxQueued !== undefined && { maximumQueuedJobs: maxQueued }),
          });
    await output.get(queueSettingsView, required(answer.settings, "settings"));
    return undefined;
  },
});
