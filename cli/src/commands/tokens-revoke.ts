import { defineCommand } from "../command.ts";
import { confirm } from "../confirm.ts";
import { required } from "../required.ts";
import { yesOption } from "../option-sets.ts";
import { accessTokenView } from "../views/people.ts";

export const tokensRevoke = defineCommand({
  path: ["tokens", "revoke"],
  summary: "Revokes an access token of yours; it is refused everywhere within a second",
  arguments: { token: { kind: "required", help: "the token's id, name or start of an id; never the token itself" } },
  options: { yes: yesOption },
  examples: ["agynctl tokens revoke ci", "agynctl tokens revoke tok_k3 --yes"],
  async run(context, { token }, { yes }) {
    const { tokens } = await context.controlPlane();
    await confirm(context, `revoke the access token ${token}?`, yes);
    const answer = await tokens.revokeAccessToken({ accessToken: token });
    const revoked = required(answer.accessToken, "access token");
    await context.output.done(accessTokenView, revoked, `revoked access token ${revoked.name} (${revoked.id})`);
    return undefined;
  },
});
