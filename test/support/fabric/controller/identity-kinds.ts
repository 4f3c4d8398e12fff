import { commonRouters, isDisabled, isGranted, routersOfIdentity, routersOfService } from "../access.ts";
import {
  defaultAuthPolicyId,
  type AuthPolicy,
  type Authenticator,
  type Enrollment,
  type Identity,
  type Model,
} from "../model.ts";
import type { ControllerState } from "../state.ts";
import { adminOf } from "./api-sessions.ts";
import { createEnrollment, signEnrollment } from "./enrollments.ts";
import { base, changing, created, entityRoutes, making, type Kind } from "./entity-routes.ts";
import { bodyOf, invalidField, notFound, type Answer, type Call, type Route } from "./http.ts";
import { listAnswer, listQuery } from "./lists.ts";
import { forgetRole, stillReferenced, unknownReference } from "./policy-kinds.ts";
import * as schemas from "./schemas.ts";

/** "Until enabled again", for what needs a date. */
const never = new Date("9999-01-01T00:00:00Z");

/** Identities, how they may log in, and what they enroll and log in by. */
export function identityRoutes(state: ControllerState): Route[] {
  const { model } = state;
  const identityBy = (call: Call): Identity => {
    adminOf(state, call);
    const identity = model.identities.get(call.params["id"] ?? "");
    if (identity === undefined) throw notFound(`identity ${call.params["id"]}`);
    return identity;
  };
  return [
    ...entityRoutes(state, identities(state)),
    [`POST ${base}/identities`, (call) => createIdentity(state, call)],
    [`POST ${base}/identities/:id/disable`, (call) => disable(state, call, identityBy(call))],
    [
      `POST ${base}/identities/:id/enable`,
      (call) => {
        model.identities.update(identityBy(call), { disabledUntil: undefined });
        return { status: 200 };
      },
    ],
    [
      `GET ${base}/identities/:id/enrollments`,
      (call) => {
        const { id } = identityBy(call);
        return listAnswer(
          call,
          model.enrollments.all().filter(({ identityId }) => identityId === id),
        );
      },
      listQuery,
    ],
    [`GET ${base}/identities/:id/policy-advice/:serviceId`, (call) => advice(state, call, identityBy(call))],
    ...entityRoutes(state, authPolicies(model)),
    ...entityRoutes(state, enrollments(model)),
    [`POST ${base}/enrollments`, (call) => postEnrollment(state, call)],
    [`POST ${base}/enrollments/:id/refresh`, (call) => refreshEnrollment(state, call)],
    ...entityRoutes(state, {
      table: model.authenticators,
      symbols: ["identityId", "method", "fingerprint", "username"],
      toJson: authenticatorJson,
      remove: ({ id }) => void model.authenticators.delete(id),
    }),
    [`POST ${base}/authenticators/:id/re-enroll`, (call) => reEnroll(state, call)],
  ];
}

function identities(state: ControllerState): Kind<Identity> {
  const { model } = state;
  return {
    table: model.identities,
    symbols: ["type", "isAdmin", "roleAttributes", "externalId", "authPolicyId"],
    toJson: (identity) => identityJson(state, identity),
    patch: changing(schemas.identity.omit({ enrollment: true }).partial(), (fields, identity) => {
      checkIdentity(model, fields, identity);
      const { authPolicyId, ...rest } = fields;
      return authPolicyId === undefined ? rest : { ...rest, authPolicyId: authPolicyId ?? defaultAuthPolicyId };
    }),
    remove({ id }) {
      for (const table of [model.enrollments, model.authenticators, model.apiSessions, model.sessions]) {
        for (const row of table.all()) if (row.identityId === id) table.delete(row.id);
      }
      forgetRole(model, id);
      model.identities.delete(id);
    },
  };
}

function createIdentity(state: ControllerState, call: Call): Answer {
  adminOf(state, call);
  const { model } = state;
  const { enrollment, authPolicyId, ...fields } = bodyOf(call, schemas.identity);
  checkIdentity(model, { ...fields, authPolicyId }, undefined);
  const identity = model.identities.insert({ ...fields, authPolicyId: authPolicyId ?? defaultAuthPolicyId });
  if (enrollment?.ott === true) {
    createEnrollment(state, identity, new Date(state.now().getTime() + state.lives.enrollment_ms));
  }
  return created(model.identities, identity.id);
}

function checkIdentity(
  model: Model,
  fields: { readonly externalId?: string | null | undefined; readonly authPolicyId?: string | null | undefined },
  self: Identity | undefined,
): void {
  const { externalId, authPolicyId } = fields;
  const taken = externalId && model.identities.find((other) => other !== self && other.externalId === externalId);
  if (taken) {
    const reason = `duplicate value '${externalId}' in unique index on identities store`;
    throw invalidField("externalId", reason, externalId, false);
  }
  if (authPolicyId && model.authPolicies.get(authPolicyId) === undefined) {
    throw unknownReference("authPolicyId", authPolicyId);
  }
}

function identityJson({ model, now }: ControllerState, identity: Identity): object {
  const { id } = identity;
  const authenticators = model.authenticators.all().filter(({ identityId }) => identityId === id);
  const open = model.enrollments.find(({ identityId }) => identityId === id);
  const byMethod = authenticators.map((one) => [one.method, authenticatorJson(one)] as const);
  return {
    ...identity,
    typeId: identity.type,
    roleAttributes: identity.roleAttributes ?? [],
    externalId: identity.externalId ?? null,
    appData: identity.appData ?? {},
    enrollment: open === undefined ? {} : { ott: open },
    authenticators: Object.fromEntries(byMethod),
    disabled: isDisabled(identity, now()),
    hasApiSession: model.apiSessions.find(({ identityId }) => identityId === id) !== undefined,
    isMfaEnabled: false,
    _links: { self: { href: `./identities/${id}` } },
  };
}

/** Disables an identity for a while, or until it is enabled: its sessions end, and it opens no others. */
function disable(state: ControllerState, call: Call, identity: Identity): Answer {
  const { durationMinutes } = bodyOf(call, schemas.disabling);
  const until = durationMinutes === 0 ? never : new Date(state.now().getTime() + durationMinutes * 60_000);
  state.model.identities.update(identity, { disabledUntil: until });
  for (const session of state.model.apiSessions.all()) {
    if (session.identityId === identity.id && session.kind === "legacy") state.model.apiSessions.delete(session.id);
  }
  return { status: 200 };
}

/** Says why a dial of a service would fail, or that it would not. */
function advice({ model }: ControllerState, call: Call, identity: Identity): Answer {
  const service = model.services.get(call.params["serviceId"] ?? "");
  if (service === undefined) throw notFound(`service ${call.params["serviceId"]}`);
  const common = commonRouters(model, identity, service);
  return {
    status: 200,
    data: {
      identityId: identity.id,
      identity: { id: identity.id, name: identity.name, entity: "identities", _links: {} },
      serviceId: service.id,
      service: { id: service.id, name: service.name, entity: "services", _links: {} },
      isDialAllowed: isGranted(model, "Dial", identity, service),
      isBindAllowed: isGranted(model, "Bind", identity, service),
      identityRouterCount: routersOfIdentity(model, identity).length,
      serviceRouterCount: routersOfService(model, service).length,
      commonRouters: common.map(({ id, name, isOnline }) => ({
        id,
        name,
        isOnline,
        entity: "edge-routers",
        _links: {},
      })),
    },
  };
}

function authPolicies(model: Model): Kind<AuthPolicy> {
  return {
    table: model.authPolicies,
    symbols: [],
    toJson: (policy) => policy,
    create: making(schemas.authPolicy, (fields) => fields),
    patch: changing(schemas.authPolicy.partial(), (fields) => fields),
    remove({ id }) {
      const user = model.identities.find(({ authPolicyId }) => authPolicyId === id);
      if (user !== undefined || id === defaultAuthPolicyId) {
        throw stillReferenced("auth policy", id, user === undefined ? "the controller" : `identity ${user.id}`);
      }
      model.authPolicies.delete(id);
    },
  };
}

function enrollments(model: Model): Kind<Enrollment> {
  return {
    table: model.enrollments,
    symbols: ["method", "identityId", "token", "expiresAt"],
    toJson: (enrollment) => enrollment,
    remove: ({ id }) => void model.enrollments.delete(id),
  };
}

function postEnrollment(state: ControllerState, call: Call): Answer {
  adminOf(state, call);
  const { identityId, expiresAt } = bodyOf(call, schemas.enrollment);
  const identity = state.model.identities.get(identityId);
  if (identity === undefined) throw unknownReference("identityId", identityId);
  return created(state.model.enrollments, createEnrollment(state, identity, laterThanNow(state, expiresAt)).id);
}

function refreshEnrollment(state: ControllerState, call: Call): Answer {
  adminOf(state, call);
  const enrollment = state.model.enrollments.get(call.params["id"] ?? "");
  if (enrollment === undefined) throw notFound(`enrollment ${call.params["id"]}`);
  const expiresAt = laterThanNow(state, bodyOf(call, schemas.expiry).expiresAt);
  const jwt = signEnrollment(state, { ...enrollment, expiresAt });
  state.model.enrollments.update(enrollment, { expiresAt, jwt });
  return { status: 200, data: { id: enrollment.id, _links: {} } };
}

/** Takes an authenticator away at once and opens a new enrollment. */
function reEnroll(state: ControllerState, call: Call): Answer {
  adminOf(state, call);
  const { model } = state;
  const authenticator = model.authenticators.get(call.params["id"] ?? "");
  const identity = authenticator && model.identities.get(authenticator.identityId);
  if (authenticator === undefined || identity === undefined) throw notFound(`authenticator ${call.params["id"]}`);
  const expiresAt = laterThanNow(state, bodyOf(call, schemas.expiry).expiresAt);
  model.authenticators.delete(authenticator.id);
  return created(model.enrollments, createEnrollment(state, identity, expiresAt).id);
}

function laterThanNow({ now }: ControllerState, text: string): Date {
  const expiresAt = new Date(text);
  if (expiresAt <= now()) throw invalidField("expiresAt", "must be after the current date and time", text, false);
  return expiresAt;
}

/** An authenticator as the API shows it: never with its password. */
export function authenticatorJson(authenticator: Authenticator): object {
  const { id, identityId, method, createdAt, updatedAt, tags, fingerprint, certPem, username } = authenticator;
  const isIssuedByNetwork = method === "cert";
  return { id, identityId, method, createdAt, updatedAt, tags, fingerprint, certPem, username, isIssuedByNetwork };
}
