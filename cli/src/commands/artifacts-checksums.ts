import { defineCommand } from "../command.ts";
import { safe } from "../output.ts";

export const artifactsChecksums = defineCommand({
  path: ["artifacts", "checksums"],
  summary: "Lists the SHA-256 of a run's artifacts, as sha256sum checks it",
  arguments: { run: { kind: "required", help: "the run: its number or id" } },
  options: {},
  examples: ["agynctl artifacts checksums 17"],
  async run({ controlPlane, organization, output }, { run }) {
    const { artifacts } = await controlPlane();
    const { text } = await artifacts.listChecksums({ run, organization });
    const lines = text.split("\n").filter((line) => line !== "");
    const shown = lines.map((line) => `${safe(line)}\n`).join("");
    await output.document(() => lines.map((line) => ({ sha256: line.slice(0, 64), file: line.slice(66) })), shown);
    return undefined;
  },
});
