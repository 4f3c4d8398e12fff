import { MemberRole } from "../../../proto/gen/agyn/organizations/v1/organizations_service_pb.ts";
import { defineCommand } from "../command.ts";
import { UsageError } from "../failures.ts";
import { required } from "../required.ts";
import { memberView } from "../views/people.ts";

const roles: ReadonlyMap<string, MemberRole> = new Map([
  ["viewer", MemberRole.VIEWER],
  ["member", MemberRole.MEMBER],
  ["owner", MemberRole.OWNER],
]);

export const membersSet = defineCommand({
  path: ["members", "set"],
  summary: "Adds a user to an organization with a role, or changes the role",
  arguments: {
    user: { kind: "required", help: "the user: id, name or start of an id" },
    role: { kind: "required", help: "viewer, member or owner" },
  },
  options: {},
  examples: ["agynctl members set ada member --org acme"],
  async run({ controlPlane, organization, output }, { user, role }) {
    const value = roles.get(role);
    if (value === undefined) throw new UsageError(`role "${role}" is none of ${[...roles.keys()].join(", ")}`);
    const { organizations } = await controlPlane();
    const answer = await organizations.setMember({ organization, user, role: value });
    const member = required(answer.member, "member");
    await output.done(memberView, member, `user ${member.userName} is now ${role}`);
    return undefined;
  },
});
