import pino from "pino";
import { createContextValues, createHandlerContext, type HandlerContext } from "@connectrpc/connect";
import type { DescMethod } from "@bufbuild/protobuf";
import { OrchestratorService } from "../../proto/gen/agyn/orchestrator/v1/orchestrator_service_pb.ts";
import { RunnersService } from "../../proto/gen/agyn/runners/v1/runners_service_pb.ts";
import { answersKey, callerKey, targetKey, type Target } from "../../server/src/api/context.ts";
import { createOrchestratorService } from "../../server/src/api/orchestrator-service.ts";
import { createRunnerManagement } from "../../server/src/api/runners-service.ts";
import { settle, toConfig } from "../../server/src/config.ts";
import type { Caller } from "../../server/src/domain/access.ts";
import { explain } from "../../server/src/domain/explanation.ts";
import type { FleetIndex } from "../../server/src/domain/fleet-index.ts";
import { masterKeyOf } from "../../server/src/identity/master-key.ts";
import type { Loop } from "../../server/src/loops/driver.ts";
import { openPlacing } from "../../server/src/open-placing.ts";
import { openRuns } from "../../server/src/open-runs.ts";
import { runSession } from "../../server/src/sessions/run-session.ts";
import { createContentStore } from "../../server/src/blobs/content-store.ts";
import { openNotifications } from "../../server/src/store/notifications.ts";
import { clearSessionsOf } from "../../server/src/store/runner-sessions.ts";
import { gateSql, type Gate } from "../support/gated-sql.ts";
import type { Replica, Services } from "./replica.ts";
import type { Simulation } from "./world.ts";

/** The settings of every replica; loss and liveness take seconds of virtual time. */
export const settings = {
  data_dir: "/nowhere",
  heartbeat: "1s",
  lease: "3s",
  leader_lease: "3s",
  loop_period: "1s",
  rejection_exclusion: "300ms",
  pending_timeout: "10m",
};

const config = toConfig(settle(settings, {}, undefined));
const masterKey = masterKeyOf(new Uint8Array(32));

/** A process; what a dead one still awaits never comes. */
type Process = {
  isDead: boolean;
  services?: Services;
  leads: () => boolean;
  loops: readonly Loop[];
  close: (() => Promise<void>)[];
};

export function createReplica(simulation: Simulation, id: string): Replica {
  const { random, chaos, invariants, blobs } = simulation;
  const downListeners = new Set<() => void>();
  let stalledUntil = 0;
  let current: Process | undefined;

  const gateOf =
    (process: Process): Gate =>
    async (run, reads) => {
      if (process.isDead) return never();
      const fate = chaos.fateOfStatement(reads);
      await simulation.delay(chaos.statementDelay_ms(), () => stalledUntil);
      if (process.isDead && !chaos.lastsBeyondCrash()) return never();
      if (fate === "not sent") throw new Error("the connection broke before the statement was sent");
      const result = await simulation.execute(run, reads ? undefined : id);
      if (process.isDead) return never();
      await simulation.delay(chaos.answerDelay_ms(), () => stalledUntil);
      if (process.isDead) return never();
      if (fate === "not answered") throw new Error("the connection broke before the answer came");
      return result;
    };

  const start = async () => {
    if (current) return;
    const process: Process = { isDead: false, leads: () => false, loops: [], close: [] };
    current = process;
    const sql = gateSql(simulation.pool, gateOf(process), simulation.signalsOf(process));
    const log = pino({ level: "warn", base: { replica: id } }, { write: (line) => simulation.note(line.trim()) });
    await clearSessionsOf(sql, id);
    const writer = { replicaId: id, storeEpoch: 1 };
    const notifications = await openNotifications(sql, id, log);
    process.close.push(() => notifications.close());
    const onClose = (_what: string, close: () => Promise<void>) => void process.close.push(close);
    const placing = await openPlacing({
      ...{ config, log, random, onClose },
      state: { sql, masterKey, writer, notifications },
    });
    checkPicks(placing.fleet.index, (fault) => invariants.report(fault));
    const contents = blobs && createContentStore({ sql, blobs });
    const runs =
      contents &&
      (await openRuns({ ...{ config, log, placing, random, onClose }, state: { sql, masterKey, writer, contents } }));
    const { registry, recorder, placer, fleet, onRunnersChanged, onWorkloadsChanged } = placing;
    const sessionDeps = {
      ...{ sql, writer, registry, recorder, placer, fleet, masterKey, log, onRunnersChanged },
      endpoints: () => [],
      heartbeat_ms: config.heartbeat_ms,
      lease_ms: config.lease_ms,
      metricsInterval_ms: config.metricsInterval_ms,
      certificateTtl_ms: config.certificateTtl_ms,
      onRevoked: () => undefined,
      overlayServices: () => [],
    };
    process.leads = () => placer.leads;
    process.loops = placing.loops;
    process.services = {
      ...(runs && { runs: { ...runs, sql } }),
      orchestrator: createOrchestratorService({
        ...{ sql, writer, placer, fleet, masterKey, onWorkloadsChanged },
        feed: placing.workloadFeed,
        pendingTimeout_ms: config.pendingTimeout_ms,
        tell: placing.tellRunner,
        runSession: (caller, requests, line) => runSession(sessionDeps, caller, requests, line),
      }),
      runners: createRunnerManagement({
        ...{ sql, fleet, writer, onRunnersChanged },
        trustDomain: "simulation",
        overlayServices: () => [],
        rootPin: new Uint8Array(32),
        onRevoked: () => undefined,
        onWorkloadsEnded: (ids) => {
          for (const one of ids) fleet.vacate(one);
          onWorkloadsChanged();
        },
      }),
    };
  };

  const leave = () => {
    current = undefined;
    for (const listener of downListeners) listener();
    downListeners.clear();
  };

  return {
    id,
    get isUp() {
      return current?.services !== undefined;
    },
    get leads() {
      return current?.leads() ?? false;
    },
    get services() {
      return current?.services;
    },
    get stalledUntil() {
      return stalledUntil;
    },
    start,
    crash() {
      const process = current;
      if (!process) return;
      process.isDead = true;
      leave();
      for (const loop of process.loops) void loop.stop();
    },
    async stop() {
      const process = current;
      if (!process) return;
      leave();
      for (const close of process.close.toReversed())
        await close().catch((error: unknown) => simulation.note(`${id} closing: ${String(error)}`));
      process.isDead = true;
    },
    stall(time_ms) {
      stalledUntil = Math.max(stalledUntil, Date.now() + time_ms);
    },
    onDown(listener) {
      downListeners.add(listener);
    },
  };
}

/** I8: what is picked is what Explain calls eligible, and nothing is picked only where it calls nobody so. */
function checkPicks(index: FleetIndex, report: (fault: string) => void): void {
  const { pick, members } = index;
  const checked: FleetIndex["pick"] = (demand, excluded, random) => {
    const options = { excluded, viewerOrganizationId: demand.organizationId, limit: 0 };
    const { eligibleRunnerIds } = explain(members(), demand, options);
    const picked = pick(demand, excluded, random);
    const agrees =
      picked.kind === "picked" ? eligibleRunnerIds.includes(picked.runnerId) : eligibleRunnerIds.length === 0;
    if (!agrees) report(`I8: picked ${JSON.stringify(picked)} where ${eligibleRunnerIds.join(", ")} are eligible`);
    return picked;
  };
  Object.assign(index, { pick: checked });
}

function never<T>(): Promise<T> {
  return new Promise<T>(() => undefined);
}

export type CallOf = { caller: Caller; target?: Target; signal?: AbortSignal; answers?: () => Promise<boolean> };

/** The context of a call that the interceptors have let through. */
export function contextOf(method: DescMethod, { caller, target, signal, answers }: CallOf): HandlerContext {
  const contextValues = createContextValues().set(callerKey, caller);
  if (target) contextValues.set(targetKey, target);
  if (answers) contextValues.set(answersKey, answers);
  return createHandlerContext({
    service: method.parent,
    method,
    protocolName: "grpc",
    requestMethod: "POST",
    url: "https://simulation",
    contextValues,
    ...(signal && { requestSignal: signal }),
  });
}

export const methods = { ...OrchestratorService.method, ...RunnersService.method };
