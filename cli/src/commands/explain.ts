import { defineCommand } from "../command.ts";
import { showExplanation } from "../explanation.ts";
import { required } from "../required.ts";
import { parseInteger } from "../requirements.ts";
import { demandOptions, toDemand } from "../option-sets.ts";

export const explain = defineCommand({
  path: ["explain"],
  summary: "Says for each runner whether it could take a demand, without starting anything",
  arguments: {},
  options: {
    ...demandOptions,
    limit: {
      kind: "parsed",
      placeholder: "n",
      parse: parseInteger("limit", 1, 1000),
      help: "show at most so many runners (default: 100)",
    },
  },
  examples: [
    "agynctl explain --capability docker",
    "agynctl explain --require 'region in (us,eu)' --require 'mem>16' --slots 2",
  ],
  async run(context, _values, { limit = 0, ...demand }) {
    const subject = { case: "demand", value: toDemand(demand) } as const;
    const { orchestrator } = await context.controlPlane();
    const answer = await orchestrator.explain({ organization: context.organization, subject, limit });
    return showExplanation(context, required(answer.explanation, "explanation"));
  },
});
