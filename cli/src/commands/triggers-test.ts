import { readFileSync } from "node:fs";
import { TestTriggerResponseSchema } from "../../../proto/gen/agyn/triggers/v1/triggers_service_pb.ts";
import { defineCommand } from "../command.ts";
import { UsageError } from "../failures.ts";
import { safe } from "../output.ts";
import { messageJson, pairs } from "../view.ts";

export const triggersTest = defineCommand({
  path: ["triggers", "test"],
  summary: "Says what a payload would do: which filters pass, and what would run; exits with 1 where nothing would",
  arguments: {
    trigger: { kind: "required", help: "the trigger: <project>/<name>, id or start of an id" },
    file: { kind: "optional", help: "the payload, as the forge sends it; none for a schedule" },
  },
  options: {
    event: { kind: "text", placeholder: "name", help: "what the forge calls the event (default: push)" },
    header: {
      kind: "list",
      placeholder: "name=value",
      help: "header of the delivery, such as its signature; repeatable",
    },
    start: { kind: "flag", help: "start what would run" },
  },
  examples: ["agynctl triggers test web/forgejo push.json --event push"],
  async run({ controlPlane, organization, output }, { trigger, file }, { event = "push", header, start }) {
    const headers: Record<string, string> = {};
    for (const forge of ["forgejo", "gitea", "github"]) headers[`x-${forge}-event`] = event;
    headers["x-event"] = event;
    for (const one of header) {
      const equals = one.indexOf("=");
      if (equals < 1) throw new UsageError(`header "${one}" is not name=value`);
      headers[one.slice(0, equals).toLowerCase()] = one.slice(equals + 1);
    }
    const { triggers } = await controlPlane();
    const payload = file === undefined ? new Uint8Array() : read(file);
    const answer = await triggers.testTrigger({ trigger, organization, payload, headers, start });
    const { starts, reason, checks, inputs, ref, commit, capabilities, run } = answer;
    const lines = [
      ...checks.map(({ rule, ok, detail }) => `${ok ? "✓" : "✗"} ${rule}: ${detail}`),
      starts ? `would run ${[ref || "the default ref", commit].join(" ").trimEnd()}` : `starts nothing: ${reason}`,
      ...(Object.keys(inputs).length > 0 ? [`inputs: ${pairs(inputs)}`] : []),
      ...(capabilities.length > 0 ? [`capabilities: ${capabilities.join(", ")}`] : []),
      ...(run === undefined ? [] : [`started run ${run.number} (${run.id})`]),
    ];
    await output.document(() => messageJson(TestTriggerResponseSchema)(answer), `${lines.map(safe).join("\n")}\n`);
    return starts ? undefined : 1;
  },
});

function read(file: string): Uint8Array<ArrayBuffer> {
  try {
    return new Uint8Array(readFileSync(file));
  } catch (error) {
    throw new UsageError(`${file} cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  }
}
