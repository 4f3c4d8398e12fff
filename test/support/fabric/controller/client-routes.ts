import { commonRouters, isGranted, isUsable, permissionsOf, routersOfIdentity, routersOfService } from "../access.ts";
import { apiSessionJson, callerOf, endLegacySession, openLegacySession, type Caller } from "./api-sessions.ts";
import { listAnswer, listQuery } from "./lists.ts";
import { ApiError, bodyOf, invalidField, notFound, type Answer, type Call, type Route } from "./http.ts";
import { signJwt } from "../jwt.ts";
import { loginByCertificate, loginByPassword } from "./logins.ts";
import { createToken, type EdgeRouter, type Identity, type Service, type ServiceSession } from "../model.ts";
import * as schemas from "./schemas.ts";
import type { ControllerState } from "../state.ts";
import { createEntityId } from "../table.ts";
import { versionJson } from "../version.ts";

const base = "/edge/client/v1";
const year_s = 365 * 86_400;

/** The client API: what an identity asks of its controller, but for enrolling. */
export function clientRoutes(state: ControllerState): Route[] {
  const { model } = state;
  const asCaller = (handle: (call: Call, caller: Caller) => Answer) => (call: Call) =>
    handle(call, callerOf(state, call));

  /** Routers as an identity sees them: some have another address for some. */
  const seenBy = (identity: Identity) => (router: EdgeRouter) => {
    const detour = state.detours.find(({ routerId, isFor }) => routerId === router.id && isFor(identity.name));
    return edgeRouterJson(detour === undefined ? router : { ...router, address: detour.address });
  };

  function visibleService(id: string, { identity }: Caller): Service {
    const service = model.services.get(id);
    if (service === undefined || permissionsOf(model, identity, service).length === 0) throw notFound(`service ${id}`);
    return service;
  }

  function createSession(call: Call, caller: Caller): Answer {
    const { serviceId, type } = bodyOf(call, schemas.session);
    const service = visibleService(serviceId, caller);
    if (!isGranted(model, type, caller.identity, service)) {
      throw invalidField("type", `${type} is not permitted on the service`, type, false);
    }
    const routers = commonRouters(model, caller.identity, service);
    if (routers.length === 0) {
      const message = "No edge routers are assigned and online to handle the requested connection";
      throw new ApiError(400, "NO_EDGE_ROUTERS_AVAILABLE", message);
    }
    const id = createEntityId();
    const session = model.sessions.insert({
      id,
      token: sessionToken(state, { id, serviceId, type }, caller),
      apiSessionId: caller.session.id,
      identityId: caller.identity.id,
      serviceId,
      type,
    });
    return { status: 201, data: sessionJson(session, service, routers.map(seenBy(caller.identity))) };
  }

  const ownSession = (id: string, caller: Caller): ServiceSession => {
    const session = model.sessions.get(id);
    if (session?.apiSessionId !== caller.session.id) throw notFound(`session ${id}`);
    return session;
  };

  return [
    [`GET ${base}/version`, () => ({ status: 200, data: versionJson(state) })],
    ["GET /version", () => ({ status: 200, data: versionJson(state) })],
    [`POST ${base}/authenticate`, (call) => authenticate(state, call), ["method"]],
    [
      `GET ${base}/current-api-session`,
      asCaller((_, caller) => ({ status: 200, data: apiSessionJson(state, caller) })),
    ],
    [
      `DELETE ${base}/current-api-session`,
      asCaller((_, { session }) => {
        if (session.kind === "oidc") model.apiSessions.delete(session.id);
        else endLegacySession(state, session.id);
        return { status: 200 };
      }),
    ],
    [
      `GET ${base}/current-api-session/service-updates`,
      asCaller(() => ({ status: 200, data: { lastChangeAt: model.servicesChangedAt() } })),
    ],
    [`GET ${base}/current-identity`, asCaller((_, { identity }) => ({ status: 200, data: identity }))],
    [
      `GET ${base}/current-identity/edge-routers`,
      asCaller((call, { identity }) =>
        listAnswer(call, routersOfIdentity(model, identity).filter(isUsable).map(seenBy(identity))),
      ),
      listQuery,
    ],
    [
      `GET ${base}/services`,
      asCaller((call, { identity }) => listAnswer(call, visibleServices(state, { identity }))),
      [...listQuery, "configTypes"],
    ],
    [
      `GET ${base}/services/:id/edge-routers`,
      asCaller((call, caller) => {
        const service = visibleService(call.params["id"] ?? "", caller);
        const routers = routersOfService(model, service).filter(isUsable).map(seenBy(caller.identity));
        return { status: 200, data: { edgeRouters: routers } };
      }),
    ],
    [`POST ${base}/sessions`, asCaller(createSession)],
    [
      `GET ${base}/sessions/:id`,
      asCaller((call, caller) => {
        const session = ownSession(call.params["id"] ?? "", caller);
        const service = visibleService(session.serviceId, caller);
        const routers = commonRouters(model, caller.identity, service).map(seenBy(caller.identity));
        return { status: 200, data: sessionJson(session, service, routers) };
      }),
    ],
    [
      `DELETE ${base}/sessions/:id`,
      asCaller((call, caller) => {
        model.sessions.delete(ownSession(call.params["id"] ?? "", caller).id);
        return { status: 200 };
      }),
    ],
    [`GET ${base}/external-jwt-signers`, (call) => listAnswer(call, []), listQuery],
  ];
}

/** Opens a legacy session; on both APIs. */
export function authenticate(state: ControllerState, call: Call): Answer {
  const method = call.query.get("method");
  if (method === "password") {
    const login = loginByPassword(state, bodyOf(call, schemas.loginByPassword), call.peer);
    return {
      status: 200,
      data: apiSessionJson(state, { ...login, session: openLegacySession(state, login), expiresAt: undefined }),
    };
  }
  if (method !== "cert") throw invalidField("method", "must be password or cert", method);
  if (call.body.length > 0) bodyOf(call, schemas.loginByCert);
  const login = loginByCertificate(state, call);
  return {
    status: 200,
    data: apiSessionJson(state, { ...login, session: openLegacySession(state, login), expiresAt: undefined }),
  };
}

/** A router as clients see it. */
export function edgeRouterJson(router: EdgeRouter): Record<string, unknown> {
  const { id, name, address, isOnline, createdAt, updatedAt, tags } = router;
  return {
    id,
    name,
    createdAt,
    updatedAt,
    tags,
    isOnline,
    hostname: "127.0.0.1",
    cost: router.cost ?? 0,
    noTraversal: router.noTraversal ?? false,
    disabled: router.disabled ?? false,
    syncStatus: "SYNC_DONE",
    supportedProtocols: { tls: `tls://${address}` },
    urls: { tls: `tls://${address}` },
    roleAttributes: router.roleAttributes ?? [],
    _links: {},
  };
}

function visibleServices({ model }: ControllerState, { identity }: Pick<Caller, "identity">): object[] {
  return model.services
    .all()
    .map((service) => ({ service, permissions: permissionsOf(model, identity, service) }))
    .filter(({ permissions }) => permissions.length > 0)
    .map(({ service, permissions }) => ({
      ...serviceJson(service),
      permissions,
      config: {},
      configs: service.configs ?? [],
      postureQueries: [],
    }));
}

/** A service as both APIs show it. */
export function serviceJson(service: Service): object {
  return {
    ...service,
    roleAttributes: service.roleAttributes ?? [],
    configs: service.configs ?? [],
    terminatorStrategy: service.terminatorStrategy ?? "smartrouting",
    maxIdleTimeMillis: service.maxIdleTimeMillis ?? 0,
    _links: { self: { href: `./services/${service.id}` } },
  };
}

function sessionJson(session: ServiceSession, service: Service, edgeRouters: readonly object[]): object {
  return {
    ...session,
    service: { id: service.id, name: service.name, entity: "services", _links: {} },
    edgeRouters,
    postureQueries: [],
    _links: { self: { href: `./sessions/${session.id}` } },
  };
}

/** A session's token: a UUID on 1.6; from 2.0 a JWT, which for legacy sessions is good for a year. */
function sessionToken(
  state: ControllerState,
  session: { readonly id: string; readonly serviceId: string; readonly type: string },
  { session: apiSession, identity }: Caller,
): string {
  if (state.version === "1.6.20") return createToken();
  const issued = Math.floor(state.now().getTime() / 1000);
  const claims = {
    iss: state.origin(),
    sub: session.serviceId,
    jti: session.id,
    iat: issued,
    exp: issued + year_s,
    z_asid: apiSession.id,
    z_iid: identity.id,
    z_st: session.type,
    z_t: "s",
    ...(apiSession.kind === "legacy" ? { z_leg: true } : {}),
  };
  return signJwt(claims, state.identity.keyPem);
}
