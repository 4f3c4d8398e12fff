import { defineCommand } from "../command.ts";
import { confirm } from "../confirm.ts";
import { required } from "../required.ts";
import { memberView } from "../views/people.ts";
import { yesOption } from "../option-sets.ts";

export const membersRemove = defineCommand({
  path: ["members", "remove"],
  summary: "Takes a user out of an organization",
  arguments: { user: { kind: "required", help: "the user: id, name or start of an id" } },
  options: { yes: yesOption },
  examples: ["agynctl members remove ada --org acme"],
  async run(context, { user }, { yes }) {
    const { organizations } = await context.controlPlane();
    await confirm(context, `take ${user} out of the organization?`, yes);
    const answer = await organizations.removeMember({ organization: context.organization, user });
    const removed = required(answer.member, "member");
    await context.output.done(memberView, removed, `user ${removed.userName} is no longer a member`);
    return undefined;
  },
});
