import { defineCommand } from "../command.ts";
import { completionScript, isShell, shells } from "../completion.ts";
import { UsageError } from "../failures.ts";

export const completion = defineCommand({
  path: ["completion"],
  summary: "Prints a script that completes command lines",
  arguments: { shell: { kind: "required", help: shells.join(", ") } },
  options: {},
  examples: [
    "source <(agynctl completion bash)",
    "agynctl completion zsh > ~/.zfunc/_agynctl",
    "agynctl completion fish > ~/.config/fish/completions/agynctl.fish",
  ],
  async run({ commands, output }, { shell }) {
    if (!isShell(shell)) throw new UsageError(`shell "${shell}" is none of ${shells.join(", ")}`);
    await output.line(completionScript(shell, commands));
    return undefined;
  },
});
