import type { Interceptor } from "@connectrpc/connect";
import type { Logger } from "pino";
import { Plane } from "../../proto/gen/agyn/options/v1/options_pb.ts";
import { createArtifactDownload } from "./api/artifact-download.ts";
import { createAuthenticator } from "./api/authenticate.ts";
import { openEnrollmentPlane } from "./api/enrollment-plane.ts";
import {
  type AccessDeps,
  createAuthenticationInterceptor,
  createAuthorizationInterceptor,
} from "./api/interceptors/access.ts";
import { createStreamInterceptor } from "./api/interceptors/streams.ts";
import { createErrorInterceptor } from "./api/interceptors/errors.ts";
import { validateInterceptor } from "./api/interceptors/validate.ts";
import { createPages } from "./api/pages.ts";
import { createRunnerCheck } from "./api/runner-check.ts";
import { openRunnerPlane, type RunnerPlane } from "./api/runner-plane.ts";
import { openUserPlane } from "./api/user-plane.ts";
import type { Address, Config } from "./config.ts";
import { createEnrollmentMethods } from "./enrollment-methods.ts";
import type { Meters } from "./meters.ts";
import { createRoutes } from "./routes.ts";
import { createClosing } from "./closing.ts";
import { announceGateway } from "./gateway.ts";
import type { DatabaseTarget } from "./store/database.ts";
import { createSecureRandom } from "./secure-random.ts";
import { readTlsMaterial } from "./tls-material.ts";
import { conversations } from "./api/permissions.ts";
import { openNetwork } from "./open-network.ts";
import { openPlacing } from "./open-placing.ts";
import { openRevocations } from "./open-revocations.ts";
import { openRuns } from "./open-runs.ts";
import { openTriggers } from "./open-triggers.ts";
import { openTunnels } from "./open-tunnels.ts";
import { openWebhooks } from "./open-webhooks.ts";
import { openUpkeep } from "./open-upkeep.ts";
import { createRunnerEndpoints } from "./runner-endpoints.ts";
import { openState, type StateOptions } from "./open-state.ts";

/** A running control plane. */
export type Server = {
  /** Of the user port, as clients reach it. */
  readonly gateway: string;
  readonly userAddress: Address;
  /** Where runners connect by TCP; as configured where they cannot, because the runner plane is in a network only. */
  readonly runnerAddress: Address;
  /** All ways to the runner plane, for people: "host:port", or the service of a network. */
  readonly runnerEndpoints: readonly string[];
  /** Lets calls finish for the grace, then closes everything in reverse order. */
  close(): Promise<void>;
};

const authenticationCache_ms = 500;
const recheckPeriod_ms = 500;
const leafTtl_ms = 30 * 86_400_000;
const leafRenewal_ms = 86_400_000;

/** Builds everything in order; what was opened is closed in reverse, also where a later step fails. `database`: one that is there already. */
export async function openServer(config: Config, log: Logger, database?: DatabaseTarget): Promise<Server> {
  const { onClose, close } = createClosing(log, config.shutdownGrace_ms);
  try {
    return { ...(await open({ config, log, database, onClose })), close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function open({ config, log, database, onClose }: StateOptions): Promise<Omit<Server, "close">> {
  const tls = config.tls && readTlsMaterial(config.tls, new Date());
  const state = await openState({ config, log, database, onClose });
  const { sql, authority, contents } = state;
  const random = createSecureRandom();
  const placing = await openPlacing({ config, log, state, random, onClose });
  openUpkeep({ config, state, placing });
  const { meters, notifications, registry, placer, loops, runLoop } = placing;

  const running = await openRuns({ config, log, state, placing, random, onClose });
  const triggering = openTriggers({ config, log, state, placing, running, onClose });
  const webhooks = openWebhooks({ config, log, state, placing, onClose });

  let leaf = await authority.issueControlPlaneLeaf({ now: new Date(), ttl_ms: leafTtl_ms });
  const network = openNetwork({ config, log, state, placing, onClose });
  const endpoints = createRunnerEndpoints(config, network?.endpoint);
  const accept: RunnerPlane["accept"] = (connection, from) => runnerPlane.accept(connection, from);
  const ways = { dial: network?.dial, accept, ownEndpoint: endpoints.own };
  const tunnels = await openTunnels({ config, log, state, placing, ...ways, onClose });
  const onRevoked = () => {
    revocations.signal();
    notifications.send("revocations");
  };
  const shown = { leaf: () => leaf, endpoints: endpoints.all };
  const enrollment = createEnrollmentMethods({ config, state, placing, network, ...shown, onRevoked });
  const routes = createRoutes({
    ...{ config, log, state, placing, running, triggering, webhooks, network, endpoints, tunnels },
    ...{ enrollment, onRevoked },
  });
  const authenticate = createAuthenticator({ sql, cache_ms: authenticationCache_ms });
  const interceptors = (plane: Plane) => {
    const checks = { authenticateTrigger: triggering.authenticate, checkRunner: createRunnerCheck(sql) };
    return interceptorsOf({ sql, plane, authenticate, recheckPeriod_ms, ...checks }, log, meters);
  };

  // The listeners: runners first, so that what the user port answers is true.
  const runnerPlane = await openRunnerPlane({
    listen: endpoints.listen,
    authority,
    leaf,
    routes,
    interceptors: interceptors(Plane.RUNNER),
    log,
  });
  endpoints.opened(runnerPlane.address);
  onClose("runner plane", () => runnerPlane.close(config.shutdownGrace_ms));
  const enrollmentOptions = { leaf, methods: enrollment, interceptors: interceptors(Plane.USER), log };
  const enrollmentPlane = openEnrollmentPlane(enrollmentOptions);
  onClose("enrollment plane", enrollmentPlane.close);
  const revocations = await openRevocations({ config, state, placing, runnerPlane, log });
  runLoop("renew-own-certificate", leafRenewal_ms, async () => {
    leaf = await authority.issueControlPlaneLeaf({ now: new Date(), ttl_ms: leafTtl_ms });
    runnerPlane.replaceLeaf(leaf);
    enrollmentPlane.replaceLeaf(leaf);
  });
  const pages = createPages({ sql, loops, meters, placer, registry, authenticate, openMetrics: config.openMetrics });
  const userPlane = await openUserPlane({
    listen: config.listen,
    tls,
    routes,
    interceptors: interceptors(Plane.USER),
    pages,
    hooks: triggering.hooks,
    plain: createArtifactDownload({ sql, contents, authenticate }),
    trustedProxies: config.trustedProxies,
    conversations,
  });
  onClose("both planes", async () => {
    // No runner may come back while the last calls finish.
    const closing = [runnerPlane.close(config.shutdownGrace_ms), userPlane.close(config.shutdownGrace_ms)];
    for (const session of registry.all()) session.end("UNAVAILABLE", "the control plane is stopping", 500);
    await Promise.all(closing);
  });
  void network?.host([
    { service: network.services.controlPlane, accept: runnerPlane.accept },
    { service: network.services.enrollment, accept: enrollmentPlane.accept },
  ]);
  const gateway = await announceGateway(state.directory, userPlane.address, tls);
  return {
    gateway,
    userAddress: userPlane.address,
    runnerAddress: runnerPlane.address ?? config.runnerListen,
    runnerEndpoints: endpoints.texts(),
  };
}

/** In the order in which a call passes them. */
function interceptorsOf(access: AccessDeps, log: Logger, meters: Meters): Interceptor[] {
  return [
    createStreamInterceptor(meters.openStreams),
    createErrorInterceptor(log, (reason) => meters.refusals.add(1, reason)),
    createAuthenticationInterceptor(access),
    validateInterceptor,
    createAuthorizationInterceptor(access),
  ];
}
