import { defineCommand } from "../command.ts";
import { limitOption, queueFilterOptions, toQueueFilter } from "../option-sets.ts";
import { readPages } from "../pages.ts";
import { pauseText, queueItemView } from "../views/queue.ts";

export const queue = defineCommand({
  path: ["queue"],
  summary: "Lists the queued jobs in their order: what each waits for, and who could take it",
  arguments: {},
  options: { ...queueFilterOptions, limit: limitOption },
  examples: ["agynctl queue", "agynctl queue --project web", "agynctl queue --verdict never -o wide"],
  async run({ controlPlane, organization, output }, _values, { project, label, pipeline, verdict, limit }) {
    const client = await controlPlane();
    const filter = toQueueFilter({ project, label, pipeline, verdict });
    let isFirst = true;
    const items = await readPages(output, limit, async (page) => {
      const answer = await client.queue.listQueue({ organization, filter, ...page });
      if (isFirst) for (const pause of answer.pauses) await output.note(pauseText(pause), "warning");
      isFirst = false;
      return { items: answer.items, nextPageToken: answer.nextPageToken };
    });
    await output.list(queueItemView, items);
    return undefined;
  },
});
