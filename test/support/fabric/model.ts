import { randomUUID } from "node:crypto";
import type { z } from "zod";
import type * as schemas from "./controller/schemas.ts";
import { createTable, type Entity, type Table } from "./table.ts";

/** What a record is made of, when it is what the management API takes. */
type Fields<S extends z.ZodType> = Entity & { name: string } & z.output<S>;

export type Identity = Fields<typeof schemas.identity> & { authPolicyId: string; disabledUntil?: Date | undefined };
export type Service = Fields<typeof schemas.service>;
export type ServicePolicy = Fields<typeof schemas.servicePolicy>;
export type EdgeRouterPolicy = Fields<typeof schemas.edgeRouterPolicy>;
export type ServiceEdgeRouterPolicy = Fields<typeof schemas.serviceEdgeRouterPolicy>;
export type AuthPolicy = Fields<typeof schemas.authPolicy>;
export type Ca = Fields<typeof schemas.ca> & { verificationToken: string; isVerified: boolean; fingerprint: string };
export type Config = Fields<typeof schemas.config>;
export type ConfigType = Entity & { name: string };
export type EdgeRouter = Fields<typeof schemas.edgeRouter> & { address: string; isOnline: boolean };

/** What an identity proves itself by: a certificate that this controller issued, or a password. */
export interface Authenticator extends Entity {
  readonly identityId: string;
  readonly method: "cert" | "updb";
  fingerprint?: string;
  certPem?: string;
  readonly username?: string;
  readonly password?: string;
}

/** A way to become an identity, once. */
export interface Enrollment extends Entity {
  method: "ott";
  identityId: string;
  token: string;
  jwt: string;
  expiresAt: Date;
}

/** A login that stands. Those of OIDC are no records for administrators. */
export interface ApiSession extends Entity {
  readonly kind: "legacy" | "oidc";
  readonly token: string;
  readonly identityId: string;
  /** What the identity logged in with; absent for a certificate of another authority. */
  readonly authenticatorId?: string | undefined;
  /** The certificates it was opened with. */
  fingerprints: string[];
  lastActivityAt: Date;
}

/** The permission to dial or to host one service, under one API session. */
export interface ServiceSession extends Entity {
  readonly token: string;
  readonly apiSessionId: string;
  readonly identityId: string;
  readonly serviceId: string;
  readonly type: "Dial" | "Bind";
}

/** A place where a service can be reached: a listener on a router. */
export interface Terminator extends Entity {
  readonly serviceId: string;
  readonly routerId: string;
  readonly hostId: string;
  /** What a caller may ask for by name; empty when it has no name. */
  readonly identity: string;
  cost: number;
  precedence: "default" | "required" | "failed";
}

export interface Revocation extends Entity {
  readonly type: "IDENTITY" | "API_SESSION" | "JTI";
  readonly subject: string;
}

/** All that the controller keeps. */
export interface Model {
  readonly identities: Table<Identity>;
  readonly services: Table<Service>;
  readonly servicePolicies: Table<ServicePolicy>;
  readonly edgeRouterPolicies: Table<EdgeRouterPolicy>;
  readonly serviceEdgeRouterPolicies: Table<ServiceEdgeRouterPolicy>;
  readonly authPolicies: Table<AuthPolicy>;
  readonly cas: Table<Ca>;
  readonly configs: Table<Config>;
  readonly configTypes: Table<ConfigType>;
  readonly edgeRouters: Table<EdgeRouter>;
  readonly authenticators: Table<Authenticator>;
  readonly enrollments: Table<Enrollment>;
  readonly apiSessions: Table<ApiSession>;
  readonly sessions: Table<ServiceSession>;
  readonly terminators: Table<Terminator>;
  readonly revocations: Table<Revocation>;
  /** When services, or what decides who sees them, were last written. */
  servicesChangedAt(): Date;
  /** Hears of every write that may take access from somebody. */
  onChange(listener: () => void): void;
}

export const defaultAuthPolicyId = "default";

/** Makes what a fresh controller has: the default authentication policy, and the types of configurations. */
export function createModel(now: () => Date): Model {
  const listeners: (() => void)[] = [];
  const tell = () => {
    for (const listener of listeners) listener();
  };
  const silent = <T extends Entity>(name: string) => createTable<T>(name, now, () => {});
  /** What a new record permits, or proves, takes nothing from anybody; what is changed or gone may. */
  const deciding = <T extends Entity>(name: string) =>
    createTable<T>(name, now, (write) => write !== "insert" && tell());
  let servicesChangedAt = now();
  /** What decides which services there are for whom. */
  const granting = <T extends Entity>(name: string) =>
    createTable<T>(name, now, (write) => {
      servicesChangedAt = now();
      if (write !== "insert") tell();
    });
  const model: Model = {
    identities: granting("identities"),
    services: granting("services"),
    servicePolicies: granting("service-policies"),
    edgeRouterPolicies: silent("edge-router-policies"),
    serviceEdgeRouterPolicies: silent("service-edge-router-policies"),
    authPolicies: silent("auth-policies"),
    cas: silent("cas"),
    configs: silent("configs"),
    configTypes: silent("config-types"),
    edgeRouters: silent("edge-routers"),
    authenticators: deciding("authenticators"),
    enrollments: silent("enrollments"),
    apiSessions: deciding("api-sessions"),
    sessions: deciding("sessions"),
    terminators: silent("terminators"),
    revocations: createTable("revocations", now, tell),
    servicesChangedAt: () => servicesChangedAt,
    onChange: (listener) => void listeners.push(listener),
  };
  model.authPolicies.insert({ id: defaultAuthPolicyId, name: "Default", ...openAuthPolicy });
  for (const type of ["host.v1", "host.v2", "intercept.v1"]) model.configTypes.insert({ name: type });
  return model;
}

/** The token of a session, of a CA's verification, of an enrollment. */
export function createToken(): string {
  return randomUUID();
}

const openAuthPolicy: Pick<AuthPolicy, "primary" | "secondary"> = {
  primary: {
    cert: { allowed: true, allowExpiredCerts: true },
    updb: {
      allowed: true,
      minPasswordLength: 5,
      requireSpecialChar: false,
      requireNumberChar: false,
      requireMixedCase: false,
      maxAttempts: 0,
      lockoutDurationMinutes: 0,
    },
    extJwt: { allowed: true, allowedSigners: [] },
  },
  secondary: { requireTotp: false },
};
