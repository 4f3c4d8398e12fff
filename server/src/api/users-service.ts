import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import type { UsersService } from "../../../proto/gen/agyn/users/v1/users_service_pb.ts";
import type { UserCaller } from "../domain/access.ts";
import { AgynError, invalidField, notFound } from "../domain/errors.ts";
import { createAccessToken } from "../identity/access-token.ts";
import { insertAccessToken } from "../store/access-tokens.ts";
import { insertAuditEvent } from "../store/audit-events.ts";
import type { Sql, SqlOrTransaction } from "../store/database.ts";
import * as organizations from "../store/organizations.ts";
import { toPage } from "../store/paging.ts";
import * as users from "../store/users.ts";
import type { User } from "../store/users.ts";
import { auditOf } from "./audit.ts";
import { userOf } from "./context.ts";
import { refuseIdAsName } from "./names.ts";
import { refuseBelongings } from "./organizations-service.ts";
import { resolveUser } from "./references.ts";

const cluster = { kind: "cluster" } as const;

/** The people of the cluster. */
export function createUsersService({ sql }: { sql: Sql }): ServiceImpl<typeof UsersService> {
  return {
    async createUser({ name, clusterAdmin }, context) {
      refuseIdAsName("user", name);
      refuseIdAsName("organization", name);
      return sql.begin(async (transaction) => {
        const user = await users.insertUser(transaction, name, clusterAdmin);
        const personal = await organizations.insertOrganization(transaction, name, user.id);
        await organizations.setMember(transaction, personal.id, user.id, "owner");
        const token = createAccessToken();
        await insertAccessToken(transaction, {
          id: token.id,
          userId: user.id,
          name: "first",
          hash: token.hash,
          scopes: [],
          expireTime: null,
        });
        const details = { cluster_admin: String(clusterAdmin), access_token_id: token.id };
        await insertAuditEvent(transaction, auditOf(context, { ...about(user), action: "user.create", details }));
        return { user: toProto(user), accessToken: token.text };
      });
    },

    async getUser(request, context) {
      const caller = userOf(context);
      const user = await resolveUser(sql, caller, request.user === "" ? caller.userId : request.user);
      if (user.id !== caller.userId && !caller.clusterAdmin) throw notFound("user", request.user);
      return { user: toProto(user) };
    },

    async listUsers(request) {
      const { rows, nextToken } = await users.listUsers(sql, toPage(request));
      return { users: rows.map(toProto), nextPageToken: nextToken };
    },

    async updateUser({ user: reference, updateMask, clusterAdmin }, context) {
      if (!updateMask?.paths.includes("cluster_admin")) throw invalidField("update_mask", "it names no field");
      return sql.begin(async (transaction) => {
        const user = await existing(transaction, userOf(context), reference);
        if (!clusterAdmin) await refuseLosingClusterAdmin(transaction, user);
        const updated = await users.setClusterAdmin(transaction, user.id, clusterAdmin);
        const details = { cluster_admin: String(clusterAdmin) };
        await insertAuditEvent(transaction, auditOf(context, { ...about(user), action: "user.update", details }));
        return { user: toProto(updated) };
      });
    },

    async deleteUser({ user: reference }, context) {
      return sql.begin(async (transaction) => {
        const user = await existing(transaction, userOf(context), reference);
        await refuseLosingClusterAdmin(transaction, user);
        await refuseLosingOwner(transaction, user);
        const personal = await organizations.lockPersonalOrganization(transaction, user.id);
        if (personal) {
          await refuseBelongings(transaction, personal);
          await organizations.deleteOrganization(transaction, personal.id);
        }
        await users.deleteUser(transaction, user.id);
        await insertAuditEvent(transaction, auditOf(context, { ...about(user), action: "user.delete" }));
        return { user: toProto(user) };
      });
    },
  };
}

function toProto({ id, name, clusterAdmin, createTime }: User) {
  return { id, name, clusterAdmin, createTime: timestampFromDate(createTime) };
}

function about({ id, name }: User) {
  return { scope: cluster, objectId: id, objectName: name };
}

/** The user meant, locked until the transaction ends. */
async function existing(transaction: SqlOrTransaction, caller: UserCaller, reference: string): Promise<User> {
  const { id } = await resolveUser(transaction, caller, reference);
  const user = await users.lockUser(transaction, id);
  if (!user) throw notFound("user", reference);
  return user;
}

async function refuseLosingClusterAdmin(transaction: SqlOrTransaction, user: User): Promise<void> {
  const admins = await users.lockClusterAdmins(transaction);
  if (admins.length === 1 && admins[0] === user.id) {
    throw new AgynError("STATE", `user "${user.name}" is the last cluster admin: make another one first`);
  }
}

/** Refuses where the user is the last owner of an organization that is not the user's own. */
async function refuseLosingOwner(transaction: SqlOrTransaction, user: User): Promise<void> {
  const memberships = await organizations.listMemberships(transaction, user.id);
  for (const { organizationId, organizationName, personalUserId, role } of memberships) {
    if (role !== "owner" || personalUserId !== null) continue;
    const owners = await organizations.lockOwners(transaction, organizationId);
    if (owners.length === 1) {
      throw new AgynError(
        "STATE",
        `user "${user.name}" is the last owner of organization "${organizationName}": make another one first`,
      );
    }
  }
}
