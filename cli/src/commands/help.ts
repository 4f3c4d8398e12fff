import { defineCommand } from "../command.ts";

export const help = defineCommand({
  path: ["help"],
  summary: "Shows how a command is used",
  arguments: { command: { kind: "rest", help: "its words (default: what all commands are)" } },
  options: {},
  examples: ["agynctl help", "agynctl help runners list"],
  async run({ showHelp }, { command }) {
    return showHelp(command);
  },
});
