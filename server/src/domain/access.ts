/** A member's role; each includes those before it. */
export const memberRoles = ["viewer", "member", "owner"] as const;
export type MemberRole = (typeof memberRoles)[number];

/** Who calls. */
export type Caller =
  | { kind: "anonymous" }
  | {
      kind: "user";
      userId: string;
      userName: string;
      clusterAdmin: boolean;
      tokenId: string;
      /** Permission names; empty means all. */
      scopes: readonly string[];
      memberships: readonly Membership[];
    }
  | { kind: "trigger_token"; tokenId: string; organizationId: string; projectId: string; createdBy: string }
  | { kind: "runner"; runnerId: string; spkiSha256: string; expireTime: Date };

export type UserCaller = Extract<Caller, { kind: "user" }>;
/** A role in an organization, and the organization as it then was. */
export type Membership = {
  organizationId: string;
  organizationName: string;
  /** Whose own it is; null: it is shared. */
  personalUserId: string | null;
  createTime: Date;
  updateTime: Date;
  role: MemberRole;
};

/** Where a thing belongs. */
export type Scope = { kind: "organization"; organizationId: string } | { kind: "cluster" };

/** The least role a method asks for. */
export type RequiredRole = "public" | "user" | MemberRole | "cluster_admin" | "runner" | "trigger_token";

/** `allowed`; `hidden`: the caller must not learn that the thing exists; `denied`: it sees it, but lacks the role. */
export type AccessDecision = "allowed" | "hidden" | "denied";

/**
 * Whether a user may do what needs `role` on a thing of `scope` (I7). Reading a cluster-scoped thing is open to all users; managing it takes
 * a cluster admin. A cluster admin has no part in an organization without being its member.
 */
export function decideAccess(caller: UserCaller, role: RequiredRole, scope: Scope): AccessDecision {
  if (role === "public" || role === "user") return "allowed";
  if (role === "runner" || role === "trigger_token") return "denied";
  if (role === "cluster_admin") return caller.clusterAdmin ? "allowed" : "denied";
  if (scope.kind === "cluster") return role === "viewer" || caller.clusterAdmin ? "allowed" : "denied";
  const membership = caller.memberships.find((one) => one.organizationId === scope.organizationId);
  if (!membership) return "hidden";
  return memberRoles.indexOf(membership.role) >= memberRoles.indexOf(role) ? "allowed" : "denied";
}

/** Whether an access token with `scopes` carries `permission`. */
export function tokenAllows(scopes: readonly string[], permission: string): boolean {
  return scopes.length === 0 || scopes.includes(permission);
}

/** The organization meant where none is named: the only one that is not personal, else the personal one if it is the only one. */
export function defaultOrganization(memberships: readonly Membership[]): Membership | undefined {
  const shared = memberships.filter((one) => one.personalUserId === null);
  if (shared.length === 1) return shared[0];
  return shared.length === 0 ? memberships[0] : shared.find((one) => one.organizationName === "default");
}
