import type { Logger } from "pino";
import { createAccessToken } from "./identity/access-token.ts";
import { insertAccessToken } from "./store/access-tokens.ts";
import { insertAuditEvent } from "./store/audit-events.ts";
import type { Sql } from "./store/database.ts";
import { insertOrganization, setMember } from "./store/organizations.ts";
import { hasUsers, insertUser, lockUsers } from "./store/users.ts";

export type FirstStartDeps = {
  sql: Sql;
  log: Logger;
  /** Keeps the token's text where only the operator reads it; where it fails, nothing was created. */
  writeToken: (text: string) => Promise<void>;
};

/**
 * Where there is no user yet: makes the user `admin` (cluster admin) with a personal organization, the organization `default` of which it
 * is the owner, and an access token without limits. Of replicas that start together, one does it.
 */
export async function ensureFirstUser({ sql, log, writeToken }: FirstStartDeps): Promise<void> {
  const user = await sql.begin(async (transaction) => {
    await lockUsers(transaction);
    if (await hasUsers(transaction)) return undefined;
    const admin = await insertUser(transaction, "admin", true);
    const personal = await insertOrganization(transaction, "admin", admin.id);
    const shared = await insertOrganization(transaction, "default", null);
    for (const { id } of [personal, shared]) await setMember(transaction, id, admin.id, "owner");
    const { id, hash, text } = createAccessToken();
    const token = { id, userId: admin.id, name: "first-start", hash, scopes: [], expireTime: null };
    await insertAccessToken(transaction, token);
    await insertAuditEvent(transaction, {
      scope: { kind: "cluster" },
      actor: "server",
      action: "user.create",
      objectId: admin.id,
      objectName: admin.name,
      outcome: "ok",
      details: { cluster_admin: "true", access_token_id: id },
    });
    await writeToken(text);
    return admin;
  });
  if (user) log.info({ user_id: user.id, user_name: user.name }, "first user created");
}
