import type { JsonValue } from "@bufbuild/protobuf";
import type { Runner } from "../../proto/gen/agyn/runners/v1/runner_pb.ts";
import type { Context } from "./context.ts";
import { safe } from "./output.ts";
import { quote } from "./quote.ts";
import { createTokenFile, type TokenFile } from "./token-file.ts";

/** Gives `act` the file for a token, made before the token is; none where no path is given. */
export async function withTokenFile(
  path: string | undefined,
  act: (file: TokenFile | undefined) => Promise<void>,
): Promise<void> {
  const file = path === undefined ? undefined : createTokenFile(path);
  try {
    await act(file);
  } finally {
    file?.close();
  }
}

interface ShownServiceToken {
  readonly sentence: string;
  readonly runner: Runner;
  readonly token: string;
  /** The file that holds it. */
  readonly path: string | undefined;
  readonly json: () => JsonValue;
}

/** Shows a new service token, or where it is, and the exact command that starts the runner with it. */
export async function showServiceToken({ output, credentials }: Context, shown: ShownServiceToken): Promise<void> {
  const { runner, token, path } = shown;
  // The name comes from the server: only a plain one becomes part of a path.
  const file = path ?? (/^[a-z0-9][a-z0-9._-]*$/.test(runner.name) ? `${runner.name}.token` : "runner.token");
  const { gateway, caFile } = credentials();
  const trust = caFile === undefined || !gateway.startsWith("https:") ? "" : ` --ca-file ${quote(caFile)}`;
  const command = `./agyn-runner --gateway ${quote(gateway)}${trust} --token-file ${quote(file)}`;
  if (output.format === "name") return output.line(safe(runner.id));
  const lines =
    path === undefined
      ? [
          `service token, shown this once: ${safe(token)}`,
          "",
          `put it into ${safe(file)}, readable by you alone, on the runner's machine, and start the runner there:`,
        ]
      : [`the service token is in ${path}`, "", "start the runner:"];
  const json = (): JsonValue => (shown.path === undefined ? shown.json() : withoutToken(shown.json()));
  return output.document(json, `${[safe(shown.sentence), ...lines, `  ${safe(command)}`].join("\n")}\n`);
}

function withoutToken(json: JsonValue): JsonValue {
  if (typeof json !== "object" || json === null || Array.isArray(json)) return json;
  return Object.fromEntries(Object.entries(json).filter(([key]) => key !== "serviceToken"));
}
