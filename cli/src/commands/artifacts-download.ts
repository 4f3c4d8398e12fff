import { resolve } from "node:path";
import { streamOptions } from "../client.ts";
import { defineCommand } from "../command.ts";
import { artifactArgument } from "../option-sets.ts";
import { required } from "../required.ts";
import { saveArtifact, safeFileName } from "../save-artifact.ts";
import { formatBytes } from "../view.ts";
import { artifactView } from "../views/artifact.ts";

export const artifactsDownload = defineCommand({
  path: ["artifacts", "download"],
  summary: "Downloads an artifact, and checks its SHA-256",
  arguments: { artifact: artifactArgument },
  options: {
    file: { kind: "text", placeholder: "file", help: "where to (default: the artifact's file name, here)" },
    force: { kind: "flag", help: "overwrite the file" },
  },
  examples: ["agynctl artifacts download 17/coverage.tar.gz", "agynctl artifacts download art_k3 --file /tmp/app"],
  async run({ controlPlane, organization, output, terminal }, { artifact: reference }, { file, force }) {
    const { artifacts } = await controlPlane();
    const answer = await artifacts.getArtifact({ artifact: reference, organization });
    const artifact = required(answer.artifact, "artifact");
    const path = resolve(terminal.cwd, file ?? safeFileName(artifact.fileName));
    const request = { artifact: artifact.id, organization };
    const expected = { sha256: artifact.sha256, sizeBytes: Number(artifact.sizeBytes), isForced: force };
    await saveArtifact(
      path,
      dataOf(() => artifacts.downloadArtifact(request, streamOptions)),
      expected,
    );
    await output.done(
      artifactView,
      artifact,
      `${path}: ${formatBytes(artifact.sizeBytes)}, SHA-256 ${artifact.sha256}`,
    );
    return undefined;
  },
});

/** Asks once the bytes are wanted: a call that nobody reads fails where nobody hears it. */
async function* dataOf(ask: () => AsyncIterable<{ data: Uint8Array }>): AsyncGenerator<Uint8Array> {
  for await (const { data } of ask()) yield data;
}
