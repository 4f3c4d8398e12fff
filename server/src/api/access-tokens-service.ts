import { durationMs, timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import type { AccessTokensService } from "../../../proto/gen/agyn/tokens/v1/access_tokens_service_pb.ts";
import type { UserCaller } from "../domain/access.ts";
import { AgynError, invalidField } from "../domain/errors.ts";
import { createAccessToken } from "../identity/access-token.ts";
import * as tokens from "../store/access-tokens.ts";
import type { AccessToken } from "../store/access-tokens.ts";
import { insertAuditEvent } from "../store/audit-events.ts";
import type { Sql } from "../store/database.ts";
import { toPage } from "../store/paging.ts";
import { auditOf } from "./audit.ts";
import { userOf } from "./context.ts";
import { refuseIdAsName } from "./names.ts";
import { permissions } from "./permissions.ts";
import { resolveOwnAccessToken } from "./references.ts";

/** The access tokens of the caller. */
export function createAccessTokensService({ sql }: { sql: Sql }): ServiceImpl<typeof AccessTokensService> {
  return {
    async createAccessToken({ name, scopes, lifetime }, context) {
      const caller = userOf(context);
      refuseIdAsName("accessToken", name);
      refuseUnknownScopes(scopes);
      refuseWiderScopes(caller, scopes);
      const expireTime = lifetime ? new Date(Date.now() + durationMs(lifetime)) : null;
      const { id, hash, text } = createAccessToken();
      return sql.begin(async (transaction) => {
        const stored = await tokens.insertAccessToken(transaction, {
          id,
          userId: caller.userId,
          name,
          hash,
          scopes,
          expireTime,
        });
        const details = { scopes: scopes.join(" "), expire_time: expireTime?.toISOString() ?? "" };
        await insertAuditEvent(
          transaction,
          auditOf(context, { ...about(stored), action: "access_token.create", details }),
        );
        return { accessToken: toProto(stored), token: text };
      });
    },

    async listAccessTokens(request, context) {
      const page = await tokens.listAccessTokens(sql, userOf(context).userId, toPage(request));
      return { accessTokens: page.rows.map(toProto), nextPageToken: page.nextToken };
    },

    async revokeAccessToken({ accessToken: reference }, context) {
      return sql.begin(async (transaction) => {
        const token = await resolveOwnAccessToken(transaction, userOf(context), reference);
        const revoked = await tokens.revokeAccessToken(transaction, token.id);
        if (!token.revokeTime)
          await insertAuditEvent(transaction, auditOf(context, { ...about(token), action: "access_token.revoke" }));
        return { accessToken: toProto(revoked) };
      });
    },
  };
}

function toProto({ id, name, scopes, createTime, expireTime, useTime, revokeTime }: AccessToken) {
  return {
    id,
    name,
    scopes,
    createTime: timestampFromDate(createTime),
    ...(expireTime && { expireTime: timestampFromDate(expireTime) }),
    ...(useTime && { useTime: timestampFromDate(useTime) }),
    ...(revokeTime && { revokeTime: timestampFromDate(revokeTime) }),
  };
}

function about({ id, name }: AccessToken) {
  return { scope: { kind: "cluster" } as const, objectId: id, objectName: name };
}

function refuseUnknownScopes(scopes: readonly string[]): void {
  const unknown = scopes.find((scope) => !permissions.includes(scope));
  if (unknown !== undefined)
    throw invalidField(
      "scopes",
      `there is no permission "${unknown}": GetServer (agynctl version -o json) lists them all`,
    );
}

/** A token makes none that can do more than itself; without scopes a token can do all, so a limited one must name some. */
function refuseWiderScopes(caller: UserCaller, scopes: readonly string[]): void {
  if (caller.scopes.length === 0) return;
  if (scopes.length === 0) {
    throw new AgynError(
      "TOKEN_SCOPE",
      "a token limited in scope makes none without limits: name scopes, at most its own",
    );
  }
  const wider = scopes.find((scope) => !caller.scopes.includes(scope));
  if (wider !== undefined)
    throw new AgynError("TOKEN_SCOPE", `the access token lacks the scope ${wider} and cannot give it`);
}
