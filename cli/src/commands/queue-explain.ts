import { ExplainJobResponseSchema } from "../../../proto/gen/agyn/queue/v1/queue_service_pb.ts";
import { defineCommand } from "../command.ts";
import { explanationText, runnersText } from "../explanation.ts";
import { safe } from "../output.ts";
import { required } from "../required.ts";
import { parseInteger } from "../requirements.ts";
import { messageJson } from "../view.ts";
import { jobReference } from "../views/job.ts";
import { jobOf, positionText } from "../views/queue.ts";

export const queueExplain = defineCommand({
  path: ["queue", "explain"],
  summary: "Says why a queued job waits, and for each runner whether it could take it",
  arguments: { job: { kind: "required", help: "the job: <run>/<name>, or its id" } },
  options: {
    limit: {
      kind: "parsed",
      placeholder: "n",
      parse: parseInteger("limit", 1, 1000),
      help: "show at most so many runners (default: 100)",
    },
  },
  examples: ["agynctl queue explain 42/test", "agynctl queue explain '42/test (linux)' -o json"],
  async run(context, { job }, { limit = 0 }) {
    const { output, organization } = context;
    const client = await context.controlPlane();
    const answer = await client.queue.explainJob({ job, organization, limit });
    const item = required(answer.item, "item");
    const explanation = required(answer.explanation, "explanation");
    const place = item.position === 0 ? "has no position" : `is at position ${positionText(item)}`;
    const first = `${jobReference(jobOf(item))} ${place}, and waits for: ${item.waitsFor}`;
    const isSaid = item.waitsFor === explanation.text;
    const rest = isSaid ? runnersText(context, explanation) : explanationText(context, explanation);
    const text = `${output.toned(safe(first), "strong")}\n${rest}`;
    await output.document(() => messageJson(ExplainJobResponseSchema)(answer), text);
    if (output.format === "name") for (const id of explanation.eligibleRunnerIds) await output.line(safe(id));
    return undefined;
  },
});
