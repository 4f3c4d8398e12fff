import type { EdgeRouter, Identity, Model, Service, Terminator } from "./model.ts";

type Subject = { readonly id: string; readonly roleAttributes?: readonly string[] | null | undefined };
type Roles = readonly string[] | null | undefined;

/** Whether roles name a subject: its id always does, attributes by the semantic, which is AllOf by default. */
export function matches(roles: Roles, semantic: "AllOf" | "AnyOf" | undefined, subject: Subject): boolean {
  if (roles === null || roles === undefined || roles.length === 0) return false;
  if (roles.includes("#all") || roles.includes(`@${subject.id}`)) return true;

  const wanted = roles.filter((role) => role.startsWith("#")).map((role) => role.slice(1));
  const has = (attribute: string) => subject.roleAttributes?.includes(attribute) ?? false;
  return wanted.length > 0 && (semantic === "AnyOf" ? wanted.some(has) : wanted.every(has));
}

/** The policies that let an identity dial or host a service. */
export function grants(model: Model, type: "Dial" | "Bind", identity: Identity, service: Service) {
  return model.servicePolicies
    .all()
    .filter(
      (policy) =>
        policy.type === type &&
        matches(policy.identityRoles, policy.semantic, identity) &&
        matches(policy.serviceRoles, policy.semantic, service),
    );
}

export function isGranted(model: Model, type: "Dial" | "Bind", identity: Identity, service: Service): boolean {
  return grants(model, type, identity, service).length > 0;
}

/** What an identity may do with a service; nothing means that it does not see it. */
export function permissionsOf(model: Model, identity: Identity, service: Service): ("Dial" | "Bind")[] {
  return (["Dial", "Bind"] as const).filter((type) => isGranted(model, type, identity, service));
}

/** The routers that policies give an identity, whether online or not. */
export function routersOfIdentity(model: Model, identity: Identity): EdgeRouter[] {
  const policies = model.edgeRouterPolicies
    .all()
    .filter((policy) => matches(policy.identityRoles, policy.semantic, identity));
  return model.edgeRouters
    .all()
    .filter((router) => policies.some((policy) => matches(policy.edgeRouterRoles, policy.semantic, router)));
}

/** The routers that policies give a service, whether online or not. */
export function routersOfService(model: Model, service: Service): EdgeRouter[] {
  const policies = model.serviceEdgeRouterPolicies
    .all()
    .filter((policy) => matches(policy.serviceRoles, policy.semantic, service));
  return model.edgeRouters
    .all()
    .filter((router) => policies.some((policy) => matches(policy.edgeRouterRoles, policy.semantic, router)));
}

/** The online routers over which an identity may use a service. */
export function commonRouters(model: Model, identity: Identity, service: Service): EdgeRouter[] {
  const ofService = new Set(routersOfService(model, service));
  return routersOfIdentity(model, identity).filter((router) => ofService.has(router) && isUsable(router));
}

/** Whether clients can reach a router now. */
export function isUsable(router: EdgeRouter): boolean {
  return router.isOnline && router.disabled !== true;
}

/** Whether an identity is disabled at `now`. */
export function isDisabled(identity: Identity, now: Date): boolean {
  return identity.disabledUntil !== undefined && identity.disabledUntil > now;
}

/**
 * Which terminator a caller gets: of those with the name asked for (none, by default), the best precedence, then the lowest
 * cost, then by chance.
 */
export function chooseTerminator(model: Model, serviceId: string, identity: string): Terminator | undefined {
  const order = { required: 0, default: 1, failed: 2 };
  const weight = (terminator: Terminator) => order[terminator.precedence] * 65_536 + terminator.cost;
  const all = model.terminators
    .all()
    .filter((terminator) => terminator.serviceId === serviceId && terminator.identity === identity);
  const least = Math.min(...all.map(weight));
  const best = all.filter((terminator) => weight(terminator) === least);
  return best[Math.floor(Math.random() * best.length)];
}
