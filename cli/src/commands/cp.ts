import { copyFromWorkload } from "../copy-from.ts";
import { copyToWorkload } from "../copy-to.ts";
import { defineCommand } from "../command.ts";
import { UsageError } from "../failures.ts";
import { parsePlace } from "../places-of-files.ts";

export const cp = defineCommand({
  path: ["cp"],
  summary: "Copies a file or folder out of a running workload, or into it",
  arguments: {
    source: { kind: "required", help: "a path here, or <workload>:<path>; relative to where its command started" },
    target: { kind: "required", help: "the same; into it, where it is a folder" },
  },
  options: {},
  examples: ["agynctl cp nightly:out/report.html .", "agynctl cp ./fixtures wkl_k3:/tmp/fixtures"],
  async run(context, { source, target }) {
    const [from, to] = [parsePlace(source), parsePlace(target)];
    if (from.workload !== undefined && to.workload === undefined) await copyFromWorkload(context, from, to.path);
    else if (from.workload === undefined && to.workload !== undefined) await copyToWorkload(context, from.path, to);
    else throw new UsageError("one of both is to be of a workload: <workload>:<path>");
    return undefined;
  },
});
