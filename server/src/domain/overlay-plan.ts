/** What the control plane keeps of itself in an OpenZiti network, and what differs from that. Pure: names and fields only. */

/** The kinds of records, in the order in which they are made: what refers to another comes after it. */
export const networkKinds = [
  "auth-policies",
  "cas",
  "identities",
  "services",
  "service-policies",
  "edge-router-policies",
  "service-edge-router-policies",
] as const;

export type NetworkKind = (typeof networkKinds)[number];

/** A runner as the network must know it. */
export interface NetworkRunner {
  readonly runnerId: string;
  /** Its SPIFFE URI, which its certificates carry. */
  readonly uri: string;
  /** Locked, or its identity revoked: nothing of it may pass. */
  readonly isBarred: boolean;
}

/**
 * What identities log in with: certificates by authorities of ours, which are registered there (`ca`), or such as the network issues itself
 * by one-time enrollment (`ott`), where it is to know no authority of ours.
 */
export type IdentityEnrollment = "ca" | "ott";

/** What the wanted state follows from. */
export interface NetworkFacts {
  readonly trustDomain: string;
  readonly identityEnrollment: IdentityEnrollment;
  /** The name that the control plane's own certificates for the network carry. */
  readonly controlPlaneUri: string;
  /** The authorities whose certificates are credentials: of runners, and of the control plane. */
  readonly runnersIssuerPem: string;
  readonly controlPlaneIssuerPem: string;
  /** What the names of services begin with. */
  readonly servicePrefix: string;
  /** Routers that may be used, such as `#all` or `#public`. */
  readonly routerRoles: readonly string[];
  readonly runners: readonly NetworkRunner[];
}

/** A record as it should be. */
export interface WantedRecord {
  readonly kind: NetworkKind;
  readonly name: string;
  /** What it is made with, and what it is compared by. A `Reference` stands for another record's id. */
  readonly fields: Readonly<Record<string, unknown>>;
  /** Of identities: whether it may log in. */
  readonly isEnabled?: boolean;
}

/** A record as the network has it. */
export interface FoundRecord {
  readonly kind: NetworkKind;
  readonly id: string;
  readonly name: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** How one record differs. */
export type Difference =
  | { readonly is: "same"; readonly wanted: WantedRecord; readonly found: FoundRecord }
  | { readonly is: "missing"; readonly wanted: WantedRecord }
  | {
      readonly is: "changed";
      readonly wanted: WantedRecord;
      readonly found: FoundRecord;
      readonly fields: readonly string[];
    }
  | { readonly is: "left over"; readonly found: FoundRecord };

/** Stands for the id of a record that is known by its name. */
export class Reference {
  readonly kind: NetworkKind;
  readonly name: string;

  constructor(kind: NetworkKind, name: string) {
    this.kind = kind;
    this.name = name;
  }
}

/** The names of services, which are the only names that installations could have in common but for what they begin with. */
export function serviceNames(prefix: string) {
  return {
    /** What runners dial. */
    controlPlane: `${prefix}agyn-control-plane`,
    /** What a machine dials that has no identity yet: enrollment, and nothing else. */
    enrollment: `${prefix}agyn-enroll`,
    /** What leads into a runner, which it alone may host. */
    ofRunner: (runnerId: string) => `${prefix}runner-${runnerId}`,
  } as const;
}

/** The role by which an identity may dial the enrollment service. Identities that have it are made by people, and are not ours. */
export function bootstrapRole(trustDomain: string): string {
  return `agyn.${trustDomain}.bootstrap`;
}

/** For people: whose a record with these tags is; `undefined` where it is ours. */
export function ownerOf(tags: unknown, trustDomain: string): string | undefined {
  const { managedBy, agynTrustDomain } = (tags ?? {}) as Record<string, unknown>;
  if (managedBy === "agyn" && agynTrustDomain === trustDomain) return undefined;
  return managedBy === "agyn" && typeof agynTrustDomain === "string"
    ? `another installation of agyn (trust domain ${agynTrustDomain})`
    : "somebody else";
}

/** The tags by which records are known as ours. */
export function ownTags(trustDomain: string): Readonly<Record<string, string>> {
  return { managedBy: "agyn", agynTrustDomain: trustDomain };
}

/** The name that the network has for a runner's identity. */
export function runnerIdentityName(trustDomain: string, runnerId: string): string {
  return `agyn.${trustDomain}.${runnerId}`;
}

/** The name that the network has for the control plane's identity. */
export function controlPlaneIdentityName(trustDomain: string): string {
  return `agyn.${trustDomain}.control-plane`;
}

/** The name that the network has for the authority of runners. */
export function authorityName(trustDomain: string): string {
  return `agyn.${trustDomain}.runners-issuer`;
}

/** All that should be there. Roles are attributes that begin with the trust domain, so that installations share a network without meeting. */
export function wantedRecords(facts: NetworkFacts): WantedRecord[] {
  const { trustDomain, identityEnrollment } = facts;
  const hasAuthorities = identityEnrollment === "ca";
  const services = serviceNames(facts.servicePrefix);
  const named = (what: string) => `agyn.${trustDomain}.${what}`;
  const [controlPlane, runner] = [named("control-plane"), named("runner")];
  const [mainService, ownService] = [named("main-service"), named("runner-service")];
  const [bootstrap, enrolling] = [bootstrapRole(trustDomain), named("enrollment-service")];
  const tags = ownTags(trustDomain);
  const authPolicyId = new Reference("auth-policies", named("certificates"));
  const routers = { semantic: "AnyOf", edgeRouterRoles: facts.routerRoles, tags };

  const policy = (name: string, type: "Dial" | "Bind", identityRole: string, serviceRole: string): WantedRecord => ({
    kind: "service-policies",
    name: named(name),
    fields: {
      type,
      semantic: "AnyOf",
      identityRoles: [`#${identityRole}`],
      serviceRoles: [`#${serviceRole}`],
      tags,
    },
  });
  const identity = (name: string, externalId: string, roleAttributes: string[], isEnabled: boolean): WantedRecord => ({
    kind: "identities",
    name,
    fields: {
      type: "Default",
      isAdmin: false,
      ...(hasAuthorities && { externalId }),
      authPolicyId,
      roleAttributes,
      tags,
    },
    isEnabled,
  });
  const service = (name: string, roleAttributes: string[]): WantedRecord => ({
    kind: "services",
    name,
    fields: { encryptionRequired: true, terminatorStrategy: "random", roleAttributes, tags },
  });

  const authorities = [
    authority(authorityName(trustDomain), facts.runnersIssuerPem, tags),
    authority(named("control-plane-issuer"), facts.controlPlaneIssuerPem, tags),
  ];
  return [
    { kind: "auth-policies", name: named("certificates"), fields: { ...certificatesOnly, tags } },
    ...(hasAuthorities ? authorities : []),
    identity(controlPlaneIdentityName(trustDomain), facts.controlPlaneUri, [controlPlane], true),
    ...facts.runners.map(({ runnerId, uri, isBarred }) =>
      identity(runnerIdentityName(trustDomain, runnerId), uri, [runner, named(runnerId)], !isBarred),
    ),
    service(services.controlPlane, [mainService]),
    service(services.enrollment, [enrolling]),
    ...facts.runners.map(({ runnerId }) => service(services.ofRunner(runnerId), [ownService, named(runnerId)])),
    policy("runners-dial", "Dial", runner, mainService),
    policy("control-plane-bind", "Bind", controlPlane, mainService),
    policy("bootstrap-dial", "Dial", bootstrap, enrolling),
    policy("enrollment-bind", "Bind", controlPlane, enrolling),
    policy("control-plane-dial", "Dial", controlPlane, ownService),
    ...facts.runners.map(({ runnerId }) => policy(`${runnerId}-bind`, "Bind", named(runnerId), named(runnerId))),
    {
      kind: "edge-router-policies",
      name: named("identities"),
      fields: { ...routers, identityRoles: [controlPlane, runner, bootstrap].map((role) => `#${role}`) },
    },
    {
      kind: "service-edge-router-policies",
      name: named("services"),
      fields: { ...routers, serviceRoles: [mainService, enrolling, ownService].map((role) => `#${role}`) },
    },
  ];
}

/** Certificates only, and none that has expired: what controllers take by default is more. */
const certificatesOnly = {
  primary: {
    cert: { allowed: true, allowExpiredCerts: false },
    updb: {
      allowed: false,
      minPasswordLength: 5,
      requireSpecialChar: false,
      requireNumberChar: false,
      requireMixedCase: false,
      maxAttempts: 0,
      lockoutDurationMinutes: 0,
    },
    extJwt: { allowed: false, allowedSigners: [] },
  },
  secondary: { requireTotp: false },
};

/** An authority whose certificates say by their URI which identity they are of. */
function authority(name: string, certPem: string, tags: Readonly<Record<string, string>>): WantedRecord {
  return {
    kind: "cas",
    name,
    fields: {
      certPem,
      isAuthEnabled: true,
      isAutoCaEnrollmentEnabled: false,
      isOttCaEnrollmentEnabled: false,
      externalIdClaim: {
        location: "SAN_URI",
        matcher: "ALL",
        matcherCriteria: "",
        parser: "NONE",
        parserCriteria: "",
        index: 0,
      },
      tags,
    },
  };
}

/** Compares by kind and name. `found` holds only what is ours. */
export function compareRecords(wanted: readonly WantedRecord[], found: readonly FoundRecord[]): Difference[] {
  const byName = new Map(found.map((record) => [keyOf(record), record]));
  const idOf = ({ kind, name }: Reference) => byName.get(keyOf({ kind, name }))?.id;
  const differences = wanted.map((record): Difference => {
    const there = byName.get(keyOf(record));
    if (there === undefined) return { is: "missing", wanted: record };
    const fields = differingFields(record, there, idOf);
    if (fields.length === 0) return { is: "same", wanted: record, found: there };
    return { is: "changed", wanted: record, found: there, fields };
  });
  const known = new Set(wanted.map(keyOf));
  const rest = found.filter((record) => !known.has(keyOf(record)));
  return [...differences, ...rest.map((record): Difference => ({ is: "left over", found: record }))];
}

/** The fields to make or change a record with; `undefined` where it refers to what is not there yet. */
export function resolveFields(
  fields: WantedRecord["fields"],
  found: readonly FoundRecord[],
): Record<string, unknown> | undefined {
  const resolved: Record<string, unknown> = {};
  for (const [field, value] of Object.entries(fields)) {
    if (!(value instanceof Reference)) resolved[field] = value;
    else {
      const there = found.find((one) => one.kind === value.kind && one.name === value.name);
      if (there === undefined) return undefined;
      resolved[field] = there.id;
    }
  }
  return resolved;
}

function keyOf({ kind, name }: { readonly kind: NetworkKind; readonly name: string }): string {
  return `${kind} ${name}`;
}

function differingFields(
  { kind, fields, isEnabled }: WantedRecord,
  found: FoundRecord,
  idOf: (reference: Reference) => string | undefined,
): string[] {
  const differing = Object.entries(fields)
    .filter(([field, value]) => !covers(found.fields[field], value instanceof Reference ? idOf(value) : value))
    .map(([field]) => field);
  if (isEnabled !== undefined && (found.fields["disabled"] === true) === isEnabled) differing.push("disabled");
  if (kind === "cas" && found.fields["isVerified"] !== true) differing.push("isVerified");
  return differing;
}

/** Whether all that is wanted is there. Lists are sets; a network may say more of a record than was asked. */
function covers(found: unknown, wanted: unknown): boolean {
  if (typeof wanted === "string" && typeof found === "string") return found.trim() === wanted.trim();
  if (Array.isArray(wanted)) {
    // What is empty may come as null, or not at all.
    const there: unknown = found ?? [];
    if (!Array.isArray(there) || there.length !== wanted.length) return false;
    return wanted.every((one) => there.includes(one));
  }
  if (typeof wanted === "object" && wanted !== null) {
    if (typeof found !== "object" || found === null) return false;
    return Object.entries(wanted).every(([key, value]) => covers((found as Record<string, unknown>)[key], value));
  }
  return found === wanted;
}
