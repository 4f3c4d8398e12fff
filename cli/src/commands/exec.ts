import { streamOptions } from "../client.ts";
import { defineCommand } from "../command.ts";
import { UsageError } from "../failures.ts";
import { runInside } from "../run-inside.ts";

export const exec = defineCommand({
  path: ["exec"],
  summary: "Runs a command inside a running workload, and ends with its exit code",
  arguments: {
    workload: { kind: "required", help: "the workload: id, name or start of an id" },
    command: { kind: "rest", help: "program and arguments" },
  },
  options: {
    stdin: { kind: "flag", short: "i", help: "hand on the standard input" },
    tty: { kind: "flag", short: "t", help: "give the command a terminal" },
  },
  passesOptionsThrough: true,
  examples: ["agynctl exec -it nightly -- bash", "agynctl exec wkl_k3 -- ps -ef"],
  async run({ controlPlane, organization, terminal }, { workload, command }, { stdin, tty }) {
    const argv = command[0] === "--" ? command.slice(1) : command;
    if (argv.length === 0) throw new UsageError("nothing is to be run: end with -- and a command");
    const { tunnels } = await controlPlane();
    return runInside({ workload, organization, argv, terminal, takesInput: stdin, hasTerminal: tty }, (requests) =>
      tunnels.exec(requests, streamOptions),
    );
  },
});
