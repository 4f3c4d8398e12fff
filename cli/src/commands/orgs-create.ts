import { randomUUID } from "node:crypto";
import { defineCommand } from "../command.ts";
import { required } from "../required.ts";
import { organizationView } from "../views/people.ts";

export const orgsCreate = defineCommand({
  path: ["orgs", "create"],
  summary: "Creates an organization, which you own",
  arguments: { name: { kind: "required", help: "its name" } },
  options: {
    idempotencyKey: { kind: "text", placeholder: "key", help: "the same key with the same request creates once" },
  },
  examples: ["agynctl orgs create acme"],
  async run({ controlPlane, output }, { name }, { idempotencyKey = randomUUID() }) {
    const { organizations } = await controlPlane();
    const answer = await organizations.createOrganization({ name, idempotencyKey });
    const created = required(answer.organization, "organization");
    await output.done(organizationView, created, `created organization ${created.name} (${created.id})`);
    return undefined;
  },
});
