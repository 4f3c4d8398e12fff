import { defineCommand } from "../command.ts";
import { openForwards } from "../forward-ports.ts";
import { parsePorts } from "../ports.ts";
import { UsageError } from "../failures.ts";

export const portForward = defineCommand({
  path: ["port-forward"],
  summary: "Makes TCP ports of a running workload reachable here, until Ctrl-C",
  arguments: {
    workload: { kind: "required", help: "the workload: id, name or start of an id" },
    ports: {
      kind: "rest",
      help: "here:there, such as 8080:80; 80 alone is the same on both sides, :80 any free one here",
    },
  },
  options: {
    address: {
      kind: "text",
      placeholder: "address",
      help: "where to listen (default: 127.0.0.1, for this machine only)",
    },
  },
  examples: ["agynctl port-forward nightly 8080:80", "agynctl port-forward wkl_k3 5432 :9229"],
  async run(context, { workload, ports }, { address = "127.0.0.1" }) {
    if (ports.length === 0) throw new UsageError("no port is named: end with here:there, such as 8080:80");
    const wanted = ports.map(parsePorts);
    return openForwards(context, { workload, address, wanted });
  },
});
