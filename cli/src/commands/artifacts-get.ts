import { defineCommand } from "../command.ts";
import { artifactArgument } from "../option-sets.ts";
import { required } from "../required.ts";
import { artifactView } from "../views/artifact.ts";

export const artifactsGet = defineCommand({
  path: ["artifacts", "get"],
  summary: "Shows one artifact",
  arguments: { artifact: artifactArgument },
  options: {},
  examples: ["agynctl artifacts get 17/coverage.tar.gz", "agynctl artifacts get art_k3 -o json"],
  async run({ controlPlane, organization, output }, { artifact }) {
    const { artifacts } = await controlPlane();
    const answer = await artifacts.getArtifact({ artifact, organization });
    await output.get(artifactView, required(answer.artifact, "artifact"));
    return undefined;
  },
});
