import { defineCommand } from "../command.ts";
import { confirm } from "../confirm.ts";
import { required } from "../required.ts";
import { userView } from "../views/people.ts";
import { yesOption } from "../option-sets.ts";

export const usersDelete = defineCommand({
  path: ["users", "delete"],
  summary: "Deletes a user; the access tokens die at once",
  arguments: { user: { kind: "required", help: "the user: id, name or start of an id" } },
  options: { yes: yesOption },
  examples: ["agynctl users delete ada --yes"],
  async run(context, { user }, { yes }) {
    const { users } = await context.controlPlane();
    await confirm(context, `delete the user ${user}?`, yes);
    const deleted = required((await users.deleteUser({ user })).user, "user");
    await context.output.done(userView, deleted, `deleted user ${deleted.name} (${deleted.id})`);
    return undefined;
  },
});
