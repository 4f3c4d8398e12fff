import { defineCommand } from "../command.ts";
import { confirm } from "../confirm.ts";
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
    await users.deleteUser({ user });
    await context.output.gone(user, `deleted user ${user}`);
    return undefined;
  },
});
