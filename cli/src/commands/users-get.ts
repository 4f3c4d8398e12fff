import { defineCommand } from "../command.ts";
import { required } from "../required.ts";
import { userView } from "../views/people.ts";

export const usersGet = defineCommand({
  path: ["users", "get"],
  summary: "Shows a user; without a name, you",
  arguments: { user: { kind: "optional", help: "the user: id, name or start of an id (default: you)" } },
  options: {},
  examples: ["agynctl users get", "agynctl users get ada"],
  async run({ controlPlane, output }, { user = "" }) {
    const { users } = await controlPlane();
    const answer = await users.getUser({ user });
    await output.get(userView, required(answer.user, "user"));
    return undefined;
  },
});
