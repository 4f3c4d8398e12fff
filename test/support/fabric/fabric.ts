import { clientRoutes } from "./controller/client-routes.ts";
import { addCertificate, enrollmentRoutes } from "./controller/enrollments.ts";
import { managementRoutes } from "./controller/management-routes.ts";
import { openControllerListener, type ControllerListener } from "./controller/listener.ts";
import { openEdgeRouter, type RunningRouter } from "./router/edge-router.ts";
import { openEnforcement } from "./router/enforcement.ts";
import { createModel, defaultAuthPolicyId, type Identity, type Model, type Service } from "./model.ts";
import { oidcRoutes } from "./controller/oidc-routes.ts";
import { createFabricAuthority, type KeyPair } from "./pki.ts";
import type { RouterTimes, Routing } from "./router/state.ts";
import type { ControllerState, FabricVersion, Lives } from "./state.ts";
import { createViolations } from "./violations.ts";

export interface FabricOptions {
  readonly version?: FabricVersion;
  /** The names of its edge routers. */
  readonly routers?: readonly string[];
  /** Whether the controller offers OIDC. Both releases do, unless told otherwise. */
  readonly oidc?: boolean;
  /** Whether all identities and services may use all routers from the start; else tests make the policies. */
  readonly openRouterPolicies?: boolean;
  readonly lives?: Partial<Lives>;
  readonly times?: Partial<RouterTimes>;
}

/** An identity with what it logs in by. */
export interface FabricIdentity extends KeyPair {
  readonly id: string;
  readonly name: string;
}

/** A small OpenZiti network in this process: one controller, some edge routers, nothing on disk. */
export interface Fabric extends AsyncDisposable {
  /** `https://127.0.0.1:port` */
  readonly url: string;
  /** The authority of the controller, the routers and the identities that they enroll. */
  readonly caPem: string;
  /** An administrator, by certificate or by password. */
  readonly admin: FabricIdentity & { readonly username: string; readonly password: string };
  /** Records of everything that clients did against the protocol. */
  readonly violations: readonly string[];
  /** All that the controller keeps, to look at; and to change where a test needs no API. */
  readonly model: Model;
  /** What can go wrong with the controller. */
  readonly controller: Pick<ControllerListener, "away" | "back" | "failNext">;
  /** How many circuits, listeners and clients the routers have. */
  readonly counts: { readonly circuits: number; readonly listeners: number; readonly clients: number };
  /** How many dials of a service its hosts have answered. */
  dialsOf(service: string): number;
  router(name?: string): RunningRouter;
  /** Resolves when all that the controller was told until now has reached the routers. */
  settled(): Promise<void>;
  /** Moves the clock of controller and routers. */
  advance(by_ms: number): void;
  addIdentity(name: string, fields?: Partial<Identity>): Promise<FabricIdentity>;
  addService(name: string, fields?: Partial<Service>): Service;
  /** Lets identities with roles such as `#runner` or `@id` dial, or bind, a service. Returns the policy's id. */
  permit(type: "Dial" | "Bind", identityRoles: readonly string[], service: Service): string;
  close(): Promise<void>;
}

const defaultLives: Lives = {
  session_ms: 30 * 60_000,
  accessToken_ms: 30 * 60_000,
  refreshToken_ms: 24 * 3_600_000,
  enrollment_ms: 180 * 60_000,
};

const defaultTimes: RouterTimes = {
  lookup_ms: 5000,
  dialAnswer_ms: 5000,
  inspectAgain_ms: 30_000,
  inspectGrace_ms: 600_000,
  cut_ms: 10,
  revocation_ms: 2700,
};

/** Starts a fabric on ports of its own. It behaves as running networks were seen to, and takes nothing that they would not. */
export async function startFabric(options: FabricOptions = {}): Promise<Fabric> {
  let ahead_ms = 0;
  let url = "";
  const now = () => new Date(Date.now() + ahead_ms);
  const authority = await createFabricAuthority();
  const model = createModel(now);
  const violations = createViolations();
  const controller: ControllerState = {
    version: options.version ?? "2.0.3",
    oidc: options.oidc ?? true,
    model,
    authority,
    identity: await authority.issueServer("controller"),
    lives: { ...defaultLives, ...options.lives },
    detours: [],
    now,
    origin: () => url,
  };
  const routing: Routing = {
    controller,
    violations,
    times: { ...defaultTimes, ...options.times },
    circuits: new Set(),
    listeners: new Map(),
    clients: new Set(),
    dials: new Map(),
  };
  const routes = [
    ...clientRoutes(controller),
    ...enrollmentRoutes(controller),
    ...managementRoutes(controller),
    ...(controller.oidc ? oidcRoutes(controller) : []),
  ];
  const listener = await openControllerListener({
    version: controller.version,
    identity: controller.identity,
    caPem: authority.caPem,
    routes,
    violations,
  });
  url = `https://127.0.0.1:${listener.port}`;
  const enforcement = openEnforcement(routing);
  const routers = new Map<string, RunningRouter>();
  for (const name of options.routers ?? ["router-1"]) {
    const row = model.edgeRouters.insert({ name, address: "", isOnline: false });
    routers.set(name, await openEdgeRouter(routing, row, await authority.issueServer(name)));
  }
  if (options.openRouterPolicies ?? true) openRouterPolicies(model);

  async function addIdentity(name: string, fields: Partial<Identity> = {}): Promise<FabricIdentity> {
    const defaults = { type: "Default", isAdmin: false, authPolicyId: defaultAuthPolicyId } as const;
    const identity = model.identities.insert({ ...defaults, ...fields, name });
    const keys = await authority.createClient(identity.id);
    addCertificate(controller, identity.id, keys.certPem);
    return { id: identity.id, name, ...keys };
  }

  const close = async () => {
    enforcement.close();
    for (const running of routers.values()) await running.kill();
    await listener.close();
  };
  return {
    url,
    caPem: authority.caPem,
    admin: await addAdmin(model, addIdentity),
    violations: violations.all,
    model,
    controller: listener,
    get counts() {
      const { circuits, listeners, clients } = routing;
      return { circuits: circuits.size, listeners: listeners.size, clients: clients.size };
    },
    dialsOf: (service) => routing.dials.get(service) ?? 0,
    router(name) {
      const found = name === undefined ? [...routers.values()][0] : routers.get(name);
      if (found === undefined) throw new Error(`the fabric has no router ${name}`);
      return found;
    },
    settled: () => enforcement.settled(),
    advance: (by_ms) => void (ahead_ms += by_ms),
    addIdentity,
    addService: (name, fields = {}) => model.services.insert({ encryptionRequired: true, ...fields, name }),
    permit(type, identityRoles, service) {
      const name = `${type} ${service.name} ${identityRoles.join(" ")} ${model.servicePolicies.all().length}`;
      const roles = { identityRoles: [...identityRoles], serviceRoles: [`@${service.id}`] };
      return model.servicePolicies.insert({ name, type, semantic: "AnyOf", ...roles }).id;
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

async function addAdmin(model: Model, addIdentity: Fabric["addIdentity"]): Promise<Fabric["admin"]> {
  const identity = await addIdentity("Default Admin", { isAdmin: true });
  const credentials = { username: "admin", password: "fabric-admin" };
  const { id: identityId } = identity;
  model.authenticators.insert({
    identityId,
    method: "updb",
    ...credentials,
  });
  return { ...identity, ...credentials };
}

function openRouterPolicies(model: Model): void {
  const all = ["#all"];
  const common = { name: "all", semantic: "AnyOf", edgeRouterRoles: all } as const;
  model.edgeRouterPolicies.insert({ ...common, identityRoles: all });
  model.serviceEdgeRouterPolicies.insert({ ...common, serviceRoles: all });
}
