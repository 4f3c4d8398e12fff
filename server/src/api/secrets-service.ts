import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import type { SecretsService } from "../../../proto/gen/agyn/secrets/v1/secrets_service_pb.ts";
import { AgynError, notFound } from "../domain/errors.ts";
import type { MasterKey } from "../identity/master-key.ts";
import { sealSecret } from "../identity/sealed-secret.ts";
import { insertAuditEvent } from "../store/audit-events.ts";
import type { Sql } from "../store/database.ts";
import { toPage } from "../store/paging.ts";
import { deleteSecret, listSecrets, putSecret, type Secret } from "../store/secrets.ts";
import { auditOf } from "./audit.ts";
import { targetOf, userOf } from "./context.ts";
import { resolveProjectOf } from "./references.ts";

/** Secrets of one organization, and of one project. */
export const maximumSecrets = 1000;

/** Secrets are sealed before they are written, and no answer holds one. */
export function createSecretsService(deps: { sql: Sql; masterKey: MasterKey }): ServiceImpl<typeof SecretsService> {
  const { sql, masterKey } = deps;

  const scopeOf = async (request: { project: string }, context: HandlerContext) => {
    const { organization } = targetOf(context, "organization");
    const project = await resolveProjectOf(sql, userOf(context), request.project, organization.id);
    return { organizationId: organization.id, projectId: project?.id ?? null, projectName: project?.name ?? "" };
  };

  return {
    async setSecret(request, context) {
      const { projectName, ...scope } = await scopeOf(request, context);
      const { name, value } = request;
      const sealed = sealSecret(value, masterKey, { ...scope, name });
      const secret = await sql.begin(async (transaction) => {
        const put = { ...scope, name, sealed, setBy: userOf(context).userId };
        const row = await putSecret(transaction, put, maximumSecrets);
        if (!row) {
          const owner = scope.projectId === null ? "the organization" : `project ${projectName}`;
          throw new AgynError("LIMIT", `${owner} has ${maximumSecrets} secrets already, and may have no more`);
        }
        const event = { action: "secret.set", ...about(row, projectName) };
        await insertAuditEvent(transaction, auditOf(context, event));
        return row;
      });
      return { secret: toProto(secret, projectName) };
    },

    async listSecrets(request, context) {
      const scope = await scopeOf(request, context);
      const { rows, nextToken } = await listSecrets(sql, scope, toPage(request));
      return { secrets: rows.map((row) => toProto(row, scope.projectName)), nextPageToken: nextToken };
    },

    async deleteSecret(request, context) {
      const { projectName, ...scope } = await scopeOf(request, context);
      const { name } = request;
      const secret = await sql.begin(async (transaction) => {
        const row = await deleteSecret(transaction, { ...scope, name });
        if (!row) throw notFound("secret", name);
        const event = { action: "secret.delete", ...about(row, projectName) };
        await insertAuditEvent(transaction, auditOf(context, event));
        return row;
      });
      return { secret: toProto(secret, projectName) };
    },
  };
}

/** What the audit keeps: never the value. */
function about({ organizationId, projectId, name }: Secret, project: string) {
  return {
    scope: { kind: "organization" as const, organizationId },
    objectId: projectId ?? organizationId,
    objectName: name,
    ...(project !== "" && { details: { project } }),
  };
}

/** A project's secret is shown for that project only, whose name is known by then. */
function toProto(
  { name, organizationId, projectId, setBy, createTime, setTime, lastUseTime }: Secret,
  project: string,
) {
  return {
    name,
    organizationId,
    projectId: projectId ?? "",
    projectName: projectId === null ? "" : project,
    setBy,
    createTime: timestampFromDate(createTime),
    setTime: timestampFromDate(setTime),
    ...(lastUseTime !== null && { lastUseTime: timestampFromDate(lastUseTime) }),
  };
}
