import { ConnectError } from "@connectrpc/connect";
import { defineCommand } from "../command.ts";
import { errorReason } from "../errors.ts";
import { callerView, type Known } from "../views/caller.ts";

export const whoami = defineCommand({
  path: ["whoami"],
  summary: "Shows who you are, where the control plane is, and where both were found",
  arguments: {},
  options: {},
  examples: ["agynctl whoami", "agynctl whoami -o json"],
  async run({ controlPlane, credentials, organization, output }) {
    const { users, organizations } = await controlPlane();
    const user = await known(users.getUser({}).then((answer) => answer.user));
    const chosen = await known(organizations.getOrganization({ organization }).then((answer) => answer.organization));
    await output.get(callerView, { user, organization: chosen, credentials: credentials() });
    return undefined;
  },
});

/** What a token may not see, and an organization that is not chosen, is no failure here. */
async function known<T>(answer: Promise<T | undefined>): Promise<Known<T>> {
  try {
    return { value: await answer, why: "" };
  } catch (error) {
    if (!(error instanceof ConnectError)) throw error;
    const reason = errorReason(error);
    if (reason === "TOKEN_SCOPE") return { value: undefined, why: `unknown: ${error.rawMessage}` };
    if (reason === "INVALID_ARGUMENT") return { value: undefined, why: `none: ${error.rawMessage}` };
    throw error;
  }
}
