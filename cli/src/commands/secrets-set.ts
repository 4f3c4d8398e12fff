import { defineCommand } from "../command.ts";
import { UsageError } from "../failures.ts";
import { secretProjectOption } from "../option-sets.ts";
import { readBounded, readBoundedStream } from "../read-file.ts";
import { required } from "../required.ts";
import { secretView } from "../views/secret.ts";

const maximumValueBytes = 65_536;

export const secretsSet = defineCommand({
  path: ["secrets", "set"],
  summary: "Sets a secret of an organization or a project, from stdin or a file",
  arguments: { name: { kind: "required", help: "as an environment variable is named" } },
  options: {
    project: secretProjectOption,
    fromFile: {
      kind: "text",
      placeholder: "file",
      help: "take the value from this file instead of stdin, without its last line break",
    },
  },
  examples: [
    "agynctl secrets set DEPLOY_KEY --project web --from-file deploy.key",
    'printf %s "$TOKEN" | agynctl secrets set NPM_TOKEN',
  ],
  async run({ controlPlane, organization, output, terminal }, { name }, { project = "", fromFile }) {
    if (fromFile === undefined && terminal.stdin.isTTY === true) {
      throw new UsageError("the value comes from stdin or --from-file: a terminal would show it, and a shell keep it");
    }
    const text =
      fromFile === undefined
        ? await readBoundedStream(terminal.stdin, "the value on stdin", maximumValueBytes)
        : await readBounded(fromFile, maximumValueBytes);
    const value = text.replace(/\r?\n$/, "");
    const { secrets } = await controlPlane();
    const answer = await secrets.setSecret({ organization, project, name, value });
    const secret = required(answer.secret, "secret");
    await output.done(secretView, secret, `set secret ${secret.name}`);
    return undefined;
  },
});
