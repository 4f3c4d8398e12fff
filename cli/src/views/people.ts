import { AuditEventSchema, type AuditEvent } from "../../../proto/gen/agyn/audit/v1/audit_service_pb.ts";
import {
  MemberRoleSchema,
  MemberSchema,
  OrganizationSchema,
  type Member,
  type Organization,
} from "../../../proto/gen/agyn/organizations/v1/organizations_service_pb.ts";
import { AccessTokenSchema, type AccessToken } from "../../../proto/gen/agyn/tokens/v1/access_tokens_service_pb.ts";
import { UserSchema, type User } from "../../../proto/gen/agyn/users/v1/users_service_pb.ts";
import { age, enumWord, instant, messageJson, pairs, type View } from "../view.ts";

export const organizationView: View<Organization> = {
  noun: "organizations",
  id: ({ id }) => id,
  toJson: messageJson(OrganizationSchema),
  columns: [
    { header: "NAME", value: ({ name }) => name },
    { header: "ID", value: ({ id }) => id },
    { header: "KIND", value: ({ personalUserId }) => (personalUserId === "" ? "shared" : "personal") },
    { header: "AGE", value: ({ createTime }, now) => age(createTime, now) },
    { header: "USER", value: ({ personalUserId }) => personalUserId, isWide: true },
  ],
  details: (organization) => [
    ["name", organization.name],
    ["id", organization.id],
    ["personal organization of", organization.personalUserId],
    ["created", instant(organization.createTime)],
    ["updated", instant(organization.updateTime)],
  ],
};

export const userView: View<User> = {
  noun: "users",
  id: ({ id }) => id,
  toJson: messageJson(UserSchema),
  columns: [
    { header: "NAME", value: ({ name }) => name },
    { header: "ID", value: ({ id }) => id },
    { header: "CLUSTER ADMIN", value: ({ clusterAdmin }) => (clusterAdmin ? "yes" : "no") },
    { header: "AGE", value: ({ createTime }, now) => age(createTime, now) },
  ],
  details: (user) => [
    ["name", user.name],
    ["id", user.id],
    ["cluster admin", user.clusterAdmin ? "yes" : "no"],
    ["created", instant(user.createTime)],
  ],
};

export const memberView: View<Member> = {
  noun: "members",
  id: ({ userId }) => userId,
  toJson: messageJson(MemberSchema),
  columns: [
    { header: "USER", value: ({ userName }) => userName },
    { header: "ID", value: ({ userId }) => userId },
    { header: "ROLE", value: ({ role }) => enumWord(MemberRoleSchema, role) },
    { header: "SINCE", value: ({ createTime }, now) => age(createTime, now) },
  ],
  details: (member) => [
    ["user", member.userName],
    ["id", member.userId],
    ["role", enumWord(MemberRoleSchema, member.role)],
    ["since", instant(member.createTime)],
  ],
};

export const accessTokenView: View<AccessToken> = {
  noun: "access tokens",
  id: ({ id }) => id,
  toJson: messageJson(AccessTokenSchema),
  columns: [
    { header: "NAME", value: ({ name }) => name },
    { header: "ID", value: ({ id }) => id },
    {
      header: "STATE",
      value: (token) => (token.revokeTime === undefined ? "active" : "revoked"),
      tone: (token) => (token.revokeTime === undefined ? undefined : "dim"),
    },
    { header: "SCOPES", value: ({ scopes }) => (scopes.length === 0 ? "all" : scopes.join(", ")) },
    { header: "EXPIRES", value: ({ expireTime }) => instant(expireTime) || "never" },
    { header: "USED", value: ({ useTime }, now) => age(useTime, now) },
    { header: "AGE", value: ({ createTime }, now) => age(createTime, now) },
  ],
  details: (token) => [
    ["name", token.name],
    ["id", token.id],
    ["scopes", token.scopes.length === 0 ? "all" : token.scopes.join(", ")],
    ["created", instant(token.createTime)],
    ["expires", instant(token.expireTime) || "never"],
    ["used", instant(token.useTime)],
    ["revoked", instant(token.revokeTime)],
  ],
};

export const auditEventView: View<AuditEvent> = {
  noun: "audit events",
  id: ({ id }) => id,
  toJson: messageJson(AuditEventSchema),
  columns: [
    { header: "TIME", value: ({ time }) => instant(time) },
    { header: "ACTOR", value: ({ actor }) => actor },
    { header: "ACTION", value: ({ action }) => action },
    { header: "OBJECT", value: (event) => event.objectName || event.objectId },
    { header: "OUTCOME", value: ({ outcome }) => outcome, tone: ({ outcome }) => (outcome === "ok" ? "good" : "bad") },
    { header: "SOURCE", value: ({ source }) => source },
    { header: "DETAILS", value: ({ details }) => pairs(details) },
    { header: "ID", value: ({ id }) => id, isWide: true },
    { header: "OBJECT ID", value: ({ objectId }) => objectId, isWide: true },
  ],
  details: () => [],
};
