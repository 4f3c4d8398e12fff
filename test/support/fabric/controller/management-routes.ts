import type { Model, Terminator } from "../model.ts";
import type { ControllerState } from "../state.ts";
import { versionJson } from "../version.ts";
import { adminOf, apiSessionJson, callerOf, endLegacySession } from "./api-sessions.ts";
import { caRoutes } from "./ca-routes.ts";
import { authenticate } from "./client-routes.ts";
import { base, created, entityRoutes, type Kind } from "./entity-routes.ts";
import { bodyOf, type Route } from "./http.ts";
import { identityRoutes } from "./identity-kinds.ts";
import { listAnswer, listQuery } from "./lists.ts";
import { policyRoutes } from "./policy-kinds.ts";
import * as schemas from "./schemas.ts";

/** The management API: what an administrator asks of the controller. */
export function managementRoutes(state: ControllerState): Route[] {
  const { model } = state;
  return [
    [`GET ${base}/version`, () => ({ status: 200, data: versionJson(state) })],
    [`POST ${base}/authenticate`, (call) => authenticate(state, call), ["method"]],
    [
      `GET ${base}/current-api-session`,
      (call) => ({ status: 200, data: apiSessionJson(state, callerOf(state, call)) }),
    ],
    [
      `DELETE ${base}/current-api-session`,
      (call) => {
        endLegacySession(state, callerOf(state, call).session.id);
        return { status: 200 };
      },
    ],
    [`GET ${base}/current-identity`, (call) => ({ status: 200, data: callerOf(state, call).identity })],
    [`GET ${base}/external-jwt-signers`, (call) => listAnswer(call, []), listQuery],
    ...identityRoutes(state),
    ...caRoutes(state),
    ...policyRoutes(state),
    ...entityRoutes(state, terminators(model)),
    ...entityRoutes(state, {
      table: model.apiSessions,
      symbols: ["identityId", "identity", "token"],
      isShown: ({ kind }) => kind === "legacy",
      toJson: (session) => session,
      remove: ({ id }) => endLegacySession(state, id),
    }),
    ...entityRoutes(state, {
      table: model.sessions,
      symbols: ["identityId", "serviceId", "type", "token", "apiSessionId"],
      toJson: (session) => session,
      remove: ({ id }) => void model.sessions.delete(id),
    }),
    ...(state.version === "1.6.20" ? [] : revocationRoutes(state)),
  ];
}

function terminators(model: Model): Kind<Terminator> {
  return {
    table: model.terminators,
    symbols: ["service", "serviceId", "router", "routerId", "identity", "precedence", "cost", "hostId"],
    toJson: (terminator) => ({
      ...terminator,
      service: { id: terminator.serviceId, name: model.services.get(terminator.serviceId)?.name, entity: "services" },
      router: { id: terminator.routerId, name: model.edgeRouters.get(terminator.routerId)?.name, entity: "routers" },
      binding: "edge",
      dynamicCost: 0,
      _links: {},
    }),
    remove: ({ id }) => void model.terminators.delete(id),
  };
}

/** Revocations, which only OIDC sessions heed. */
function revocationRoutes(state: ControllerState): Route[] {
  const { revocations } = state.model;
  return [
    ...entityRoutes(state, { table: revocations, symbols: ["type"], toJson: (revocation) => revocation }),
    [
      `POST ${base}/revocations`,
      (call) => {
        adminOf(state, call);
        const { id: subject, type } = bodyOf(call, schemas.revocation);
        return created(revocations, revocations.insert({ subject, type }).id);
      },
    ],
  ];
}
