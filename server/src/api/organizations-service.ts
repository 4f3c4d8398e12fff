import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  CreateOrganizationRequestSchema,
  MemberRole as MemberRoleProto,
  type OrganizationsService,
} from "../../../proto/gen/agyn/organizations/v1/organizations_service_pb.ts";
import { createId } from "../../../wire/ids.ts";
import { memberRoles, type MemberRole, type Scope } from "../domain/access.ts";
import { AgynError, invalidField, notFound } from "../domain/errors.ts";
import { insertAuditEvent } from "../store/audit-events.ts";
import type { Sql, SqlOrTransaction } from "../store/database.ts";
import { claimIdempotencyKey } from "../store/idempotency-keys.ts";
import * as organizations from "../store/organizations.ts";
import type { Member, Organization } from "../store/organizations.ts";
import { toPage } from "../store/paging.ts";
import type { User } from "../store/users.ts";
import { auditOf } from "./audit.ts";
import { targetOf, userOf } from "./context.ts";
import { refuseIdAsName } from "./names.ts";
import { hashRequest } from "./request-hash.ts";
import { resolveUser } from "./references.ts";

/** Organizations and their members. */
export function createOrganizationsService({ sql }: { sql: Sql }): ServiceImpl<typeof OrganizationsService> {
  return {
    async createOrganization(request, context) {
      const { userId } = userOf(context);
      const { name, idempotencyKey } = request;
      refuseIdAsName("organization", name);
      const id = createId("organization");
      return sql.begin(async (transaction) => {
        if (idempotencyKey !== "") {
          const requestHash = hashRequest(CreateOrganizationRequestSchema, request);
          const claim = { organizationId: userId, method: "CreateOrganization", key: idempotencyKey, requestHash };
          const claimed = await claimIdempotencyKey(transaction, { ...claim, objectId: id });
          if (claimed !== id) return { organization: toProto(await existing(transaction, claimed)) };
        }
        const organization = await organizations.insertOrganization(transaction, name, null, id);
        await organizations.setMember(transaction, id, userId, "owner");
        await insertAuditEvent(
          transaction,
          auditOf(context, { ...about(organization), action: "organization.create" }),
        );
        return { organization: toProto(organization) };
      });
    },

    getOrganization(_request, context) {
      return { organization: toProto(targetOf(context, "organization").organization) };
    },

    async listOrganizations(request, context) {
      const caller = userOf(context);
      if (request.all && !caller.clusterAdmin) {
        throw new AgynError("PERMISSION_DENIED", "listing all organizations needs the role cluster admin");
      }
      const userId = request.all ? undefined : caller.userId;
      const { rows, nextToken } = await organizations.listOrganizations(sql, userId, toPage(request));
      return { organizations: rows.map(toProto), nextPageToken: nextToken };
    },

    async updateOrganization(request, context) {
      const { organization } = targetOf(context, "organization");
      if (!request.updateMask?.paths.includes("name")) throw invalidField("update_mask", "it names no field");
      refusePersonal(organization, "renamed");
      refuseIdAsName("organization", request.name);
      return sql.begin(async (transaction) => {
        await existing(transaction, organization.id);
        const renamed = await organizations.renameOrganization(transaction, organization.id, request.name);
        const details = { previous_name: organization.name };
        await insertAuditEvent(
          transaction,
          auditOf(context, { ...about(renamed), action: "organization.update", details }),
        );
        return { organization: toProto(renamed) };
      });
    },

    async deleteOrganization(_request, context) {
      const { organization } = targetOf(context, "organization");
      refusePersonal(organization, "deleted");
      await sql.begin(async (transaction) => {
        await existing(transaction, organization.id);
        await refuseBelongings(transaction, organization);
        await organizations.deleteOrganization(transaction, organization.id);
        const event = { ...about(organization), scope: { kind: "cluster" } as const, action: "organization.delete" };
        await insertAuditEvent(transaction, auditOf(context, event));
      });
      return { organization: toProto(organization) };
    },

    async setMember(request, context) {
      const { organization } = targetOf(context, "organization");
      const role = roleOf(request.role);
      return sql.begin(async (transaction) => {
        const user = await resolveUser(transaction, userOf(context), request.user);
        if (role !== "owner") await refuseLosingOwner(transaction, organization, user);
        await organizations.setMember(transaction, organization.id, user.id, role);
        const details = { user_id: user.id, user_name: user.name, role };
        await insertAuditEvent(
          transaction,
          auditOf(context, { ...about(organization), action: "member.set", details }),
        );
        const member = await organizations.getMember(transaction, organization.id, user.id);
        return member ? { member: toMemberProto(member) } : {};
      });
    },

    async listMembers(request, context) {
      const { organization } = targetOf(context, "organization");
      const { rows, nextToken } = await organizations.listMembers(sql, organization.id, toPage(request));
      return { members: rows.map(toMemberProto), nextPageToken: nextToken };
    },

    async removeMember(request, context) {
      const { organization } = targetOf(context, "organization");
      return sql.begin(async (transaction) => {
        const user = await resolveUser(transaction, userOf(context), request.user);
        const member = await organizations.getMember(transaction, organization.id, user.id);
        if (!member) throw notFound("member", request.user);
        await refuseLosingOwner(transaction, organization, user);
        await organizations.removeMember(transaction, organization.id, user.id);
        const details = { user_id: user.id, user_name: user.name };
        await insertAuditEvent(
          transaction,
          auditOf(context, { ...about(organization), action: "member.remove", details }),
        );
        return { member: toMemberProto(member) };
      });
    },
  };
}

/** The organization as others are told of it. */
function toProto({ id, name, personalUserId, createTime, updateTime }: Organization) {
  return {
    id,
    name,
    personalUserId: personalUserId ?? "",
    createTime: timestampFromDate(createTime),
    updateTime: timestampFromDate(updateTime),
  };
}

const roleProtos: Record<MemberRole, MemberRoleProto> = {
  viewer: MemberRoleProto.VIEWER,
  member: MemberRoleProto.MEMBER,
  owner: MemberRoleProto.OWNER,
};

function toMemberProto({ userId, userName, role, createTime }: Member) {
  return { userId, userName, role: roleProtos[role], createTime: timestampFromDate(createTime) };
}

function roleOf(proto: MemberRoleProto): MemberRole {
  const role = memberRoles.find((one) => roleProtos[one] === proto);
  if (!role) throw invalidField("role", "it is not a role");
  return role;
}

function about(organization: Organization): { scope: Scope; objectId: string; objectName: string } {
  const { id, name } = organization;
  return { scope: { kind: "organization", organizationId: id }, objectId: id, objectName: name };
}

/** The organization, locked until the transaction ends: nobody deletes it, or adds a runner to it, meanwhile. */
async function existing(transaction: SqlOrTransaction, id: string): Promise<Organization> {
  const organization = await organizations.lockOrganization(transaction, id);
  if (!organization) throw notFound("organization", id);
  return organization;
}

function refusePersonal(organization: Organization, verb: string): void {
  if (organization.personalUserId === null) return;
  throw new AgynError(
    "STATE",
    `"${organization.name}" is a user's personal organization: it is not ${verb} apart from its user`,
  );
}

/** Refuses where runners, projects, live workloads or live runs still belong to the organization. */
export async function refuseBelongings(transaction: SqlOrTransaction, { id, name }: Organization): Promise<void> {
  const belongings = await organizations.countBelongings(transaction, id);
  const { runners, workloads, projects, runs } = belongings;
  if (runners + workloads + projects + runs === 0) return;
  throw new AgynError(
    "STATE",
    `organization "${name}" still has ${runners} runners, ${projects} projects, ${workloads} live workloads and ${runs} live runs: delete and stop them first`,
    { metadata: Object.fromEntries(Object.entries(belongings).map(([key, count]) => [key, String(count)])) },
  );
}

/** Refuses what would leave an organization without an owner, or a personal one without its user. */
async function refuseLosingOwner(transaction: SqlOrTransaction, organization: Organization, user: User): Promise<void> {
  if (organization.personalUserId === user.id) {
    throw new AgynError(
      "STATE",
      `user "${user.name}" stays the owner of the personal organization "${organization.name}"`,
    );
  }
  const owners = await organizations.lockOwners(transaction, organization.id);
  if (owners.length === 1 && owners[0] === user.id) {
    throw new AgynError(
      "STATE",
      `user "${user.name}" is the last owner of organization "${organization.name}": make another one first`,
    );
  }
}
