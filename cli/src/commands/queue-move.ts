import { defineCommand } from "../command.ts";
import { UsageError } from "../failures.ts";
import { required } from "../required.ts";
import { jobReference } from "../views/job.ts";
import { jobOf, positionText, queueItemView } from "../views/queue.ts";

export const queueMove = defineCommand({
  path: ["queue", "move"],
  summary: "Moves a queued job; it takes on the priority of its new neighbours",
  arguments: { job: { kind: "required", help: "the job: <run>/<name>, or its id" } },
  options: {
    before: { kind: "text", placeholder: "job", help: "right before this queued job" },
    after: { kind: "text", placeholder: "job", help: "right behind this queued job" },
    top: { kind: "flag", help: "before all others" },
    end: { kind: "flag", help: "behind all others" },
  },
  examples: ["agynctl queue move 42/test --before 17/build", "agynctl queue move 42/test --top"],
  async run({ controlPlane, organization, output }, { job }, { before, after, top, end }) {
    const targets = [
      ...(before === undefined ? [] : [{ case: "before", value: before } as const]),
      ...(after === undefined ? [] : [{ case: "after", value: after } as const]),
      ...(top ? [{ case: "top", value: true } as const] : []),
      ...(end ? [{ case: "end", value: true } as const] : []),
    ];
    const [to, another] = targets;
    if (to === undefined || another !== undefined)
      throw new UsageError("say where to: one of --before, --after, --top and --end");
    const client = await controlPlane();
    const item = required((await client.queue.moveJob({ job, organization, to })).item, "item");
    const place = item.position === 0 ? "" : `: position ${positionText(item)}`;
    await output.done(queueItemView, item, `moved ${jobReference(jobOf(item))}${place}`);
    return undefined;
  },
});
