import { isAnyId } from "../../../wire/ids.ts";
import { defineCommand } from "../command.ts";
import { UsageError } from "../failures.ts";
import { readPages } from "../pages.ts";
import { limitOption } from "../option-sets.ts";
import { auditEventView } from "../views/people.ts";

/** A name is refused: what it meant at the time of an event is not what it means now. */
function parseId(text: string): string {
  if (!isAnyId(text)) throw new UsageError("give the whole id, such as rnr_…: the get command of its noun shows it");
  return text;
}

export const auditList = defineCommand({
  path: ["audit", "list"],
  summary: "Lists who did what, newest first",
  arguments: {},
  options: {
    cluster: { kind: "flag", help: "events of the cluster, instead of an organization's" },
    object: {
      kind: "parsed",
      placeholder: "id",
      parse: parseId,
      help: "only events on this object, also one that is gone",
    },
    action: { kind: "text", placeholder: "action", help: "only this action, such as runner.enroll" },
    limit: limitOption,
  },
  examples: ["agynctl audit list --limit 20", "agynctl audit list --cluster --action runner.enroll -o json"],
  async run({ controlPlane, organization, output }, _values, { cluster, object = "", action = "", limit }) {
    const { audit } = await controlPlane();
    const kind = cluster
      ? ({ case: "cluster", value: true } as const)
      : ({ case: "organization", value: organization } as const);
    const found = await readPages(output, limit, async (page) => {
      const answer = await audit.listAuditEvents({ scope: { kind }, objectId: object, action, ...page });
      return { items: answer.auditEvents, nextPageToken: answer.nextPageToken };
    });
    await output.list(auditEventView, found);
    return undefined;
  },
});
