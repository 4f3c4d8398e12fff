import { defineCommand } from "../command.ts";
import { confirm } from "../confirm.ts";
import { artifactArgument, yesOption } from "../option-sets.ts";
import { required } from "../required.ts";
import { artifactView } from "../views/artifact.ts";

export const artifactsDelete = defineCommand({
  path: ["artifacts", "delete"],
  summary: "Deletes an artifact",
  arguments: { artifact: artifactArgument },
  options: { yes: yesOption },
  examples: ["agynctl artifacts delete 17/coverage.tar.gz --yes"],
  async run(context, { artifact }, { yes }) {
    const { artifacts } = await context.controlPlane();
    await confirm(context, `delete the artifact ${artifact}?`, yes);
    const answer = await artifacts.deleteArtifact({ artifact, organization: context.organization });
    const deleted = required(answer.artifact, "artifact");
    await context.output.done(artifactView, deleted, `deleted artifact ${deleted.name} (${deleted.id})`);
    return undefined;
  },
});
