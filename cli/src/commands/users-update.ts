import { defineCommand } from "../command.ts";
import { UsageError } from "../failures.ts";
import { required } from "../required.ts";
import { userView } from "../views/people.ts";

export const usersUpdate = defineCommand({
  path: ["users", "update"],
  summary: "Makes a user a cluster admin, or takes that away",
  arguments: { user: { kind: "required", help: "the user: id, name or start of an id" } },
  options: {
    clusterAdmin: {
      kind: "text",
      placeholder: "yes|no",
      choices: ["yes", "no"],
      help: "whether the user is a cluster admin",
    },
  },
  examples: ["agynctl users update ada --cluster-admin yes"],
  async run({ controlPlane, output }, { user }, { clusterAdmin }) {
    if (clusterAdmin === undefined) throw new UsageError("nothing is to change: give --cluster-admin yes or no");
    const { users } = await controlPlane();
    const answer = await users.updateUser({
      user,
      updateMask: { paths: ["cluster_admin"] },
      clusterAdmin: clusterAdmin === "yes",
    });
    const changed = required(answer.user, "user");
    await output.done(userView, changed, `user ${changed.name} is ${changed.clusterAdmin ? "a" : "no"} cluster admin`);
    return undefined;
  },
});
