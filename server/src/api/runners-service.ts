import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import {
  RegisterRunnerRequestSchema,
  type RunnersService,
} from "../../../proto/gen/agyn/runners/v1/runners_service_pb.ts";
import { createId } from "../../../wire/ids.ts";
import { createServiceToken } from "../../../wire/service-token.ts";
import { AgynError, invalidField } from "../domain/errors.ts";
import type { RunnerAvailability, RunnerStatus } from "../domain/runner.ts";
import { insertAuditEvent } from "../store/audit-events.ts";
import type { SqlOrTransaction } from "../store/database.ts";
import { claimIdempotencyKey } from "../store/idempotency-keys.ts";
import { insertRevocation, revokeIdentities } from "../store/identities.ts";
import { raiseFleetVersion } from "../store/leader.ts";
import { toPage } from "../store/paging.ts";
import * as runners from "../store/runners.ts";
import type { RunnerRow } from "../store/runners.ts";
import { endWorkloads, lostEnding, type Writer } from "../store/workload-transitions.ts";
import { listWorkloadsOfRunner } from "../store/workloads.ts";
import { auditOf } from "./audit.ts";
import { callerKey, targetOf } from "./context.ts";
import { refuseIdAsName } from "./names.ts";
import { hashRequest } from "./request-hash.ts";
import { maskedFields } from "./update-mask.ts";
import { oneRunnerProto, statusToProto, toRunnerProtos, toTokenRow, type RunnerProtoDeps } from "./runner-proto.ts";

export type RunnersDeps = RunnerProtoDeps & {
  writer: Writer;
  rootPin: Uint8Array;
  /** Tells replicas and watchers that runners changed. */
  onRunnersChanged: () => void;
  /** Tells replicas that sessions are to end. */
  onRevoked: () => void;
  onWorkloadsEnded: (ids: readonly string[]) => void;
};

type Management = Pick<
  ServiceImpl<typeof RunnersService>,
  | "registerRunner"
  | "getRunner"
  | "listRunners"
  | "updateRunner"
  | "deleteRunner"
  | "pauseRunner"
  | "resumeRunner"
  | "drainRunner"
  | "unlockRunner"
  | "rotateServiceToken"
  | "revokeIdentity"
>;

/** The contract's name of each field that an update may change. */
const fields = { name: "name", labels: "labels", capabilities: "capabilities" } as const;

/** What is written down of an act. */
type Act = { action: string; details?: Record<string, string> };

const unlocked = ["active", "paused", "draining"] as const;
/** How operators move a runner's availability; a locked runner can only be unlocked. */
const moves = {
  pause: { action: "runner.pause", to: "paused", from: unlocked },
  resume: { action: "runner.resume", to: "active", from: unlocked },
  drain: { action: "runner.drain", to: "draining", from: unlocked },
  unlock: { action: "runner.unlock", to: "active", from: ["locked"] },
} as const;

/** What operators do with runners. */
export function createRunnerManagement(deps: RunnersDeps): Management {
  const { sql, fleet } = deps;
  const reply = async (row: RunnerRow, context: HandlerContext) => ({
    runner: await oneRunnerProto(deps, row, context.values.get(callerKey)),
  });
  const audit = (transaction: SqlOrTransaction, context: HandlerContext, row: RunnerRow, what: Act) =>
    insertAuditEvent(
      transaction,
      auditOf(context, { scope: runners.scopeOf(row), objectId: row.id, objectName: row.name, ...what }),
    );
  /** Changes the target in one transaction with its audit row, and sees to it that nothing is placed on what it was before. */
  const change = async (
    context: HandlerContext,
    what: Act,
    apply: (transaction: SqlOrTransaction, row: RunnerRow) => Promise<RunnerRow>,
  ) => {
    const { runner } = targetOf(context, "runner");
    const changed = await sql.begin(async (transaction) => {
      const current = await runners.lockRunner(transaction, runner.id);
      await raiseFleetVersion(transaction);
      if (!current || current.deleteTime !== null)
        throw new AgynError("NOT_FOUND", `there is no runner "${runner.name}"`);
      const row = await apply(transaction, current);
      await audit(transaction, context, row, what);
      return row;
    });
    await fleet.refresh();
    deps.onRunnersChanged();
    return changed;
  };
  const setAvailability = async (
    context: HandlerContext,
    reason: string,
    { action, to, from }: { action: string; to: RunnerAvailability; from: readonly RunnerAvailability[] },
  ) => {
    const row = await change(context, { action, details: { reason } }, (transaction, current) => {
      if (!from.includes(current.availability)) {
        throw new AgynError("STATE", `runner ${current.name} is ${current.availability}${unlockHint(current)}`);
      }
      return runners.setAvailability(transaction, current.id, to, reason);
    });
    return reply(row, context);
  };

  return {
    async registerRunner(request, context) {
      const { scope, name: scopeName } = targetOf(context, "scope");
      const organizationId = scope.kind === "organization" ? scope.organizationId : null;
      refuseIdAsName("runner", request.name);
      const id = createId("runner");
      const token = createServiceToken({ runnerId: id, rootPin: deps.rootPin });
      const row = await sql.begin(async (transaction) => {
        if (request.idempotencyKey !== "") {
          const requestHash = hashRequest(RegisterRunnerRequestSchema, request);
          const claim = {
            organizationId: organizationId ?? "",
            method: "RegisterRunner",
            key: request.idempotencyKey,
            requestHash,
            objectId: id,
          };
          const first = await claimIdempotencyKey(transaction, claim);
          if (first !== id) return runners.getRunner(transaction, first);
        }
        const { name, labels, capabilities } = request;
        const inserted = await runners.insertRunner(transaction, {
          id,
          organizationId,
          name,
          labels,
          capabilities,
          token: toTokenRow(token.publicKey, request.tokenOptions),
        });
        await audit(transaction, context, inserted, { action: "runner.register", details: { scope: scopeName } });
        return inserted;
      });
      if (!row || row.deleteTime !== null)
        throw new AgynError("NOT_FOUND", "the runner that this idempotency key registered was deleted");
      await fleet.refresh();
      deps.onRunnersChanged();
      return { ...(await reply(row, context)), serviceToken: row.id === id ? token.text : "" };
    },
    async getRunner(_request, context) {
      return reply(targetOf(context, "runner").runner, context);
    },
    async listRunners(request, context) {
      const { organization } = targetOf(context, "organization");
      const statuses = (Object.keys(statusToProto) as RunnerStatus[]).filter((status) =>
        request.statuses.includes(statusToProto[status]),
      );
      const filter = {
        organizationId: organization.id,
        clusterOnly: request.clusterOnly,
        labels: request.labels,
        statuses,
      };
      const { rows, nextToken } = await runners.listRunners(sql, filter, toPage(request));
      return { runners: await toRunnerProtos(deps, rows, context.values.get(callerKey)), nextPageToken: nextToken };
    },
    async updateRunner(request, context) {
      const settings = maskedFields(request, fields);
      if (settings.name === "") throw invalidField("name", "it must not be empty");
      if (settings.name !== undefined) refuseIdAsName("runner", settings.name);
      const details = { fields: request.updateMask!.paths.join(" ") };
      const row = await change(context, { action: "runner.update", details }, (transaction, current) =>
        runners.updateRunner(transaction, current.id, settings),
      );
      return reply(row, context);
    },
    async deleteRunner(request, context) {
      const ended: string[] = [];
      const row = await change(
        context,
        { action: "runner.delete", details: { force: String(request.force) } },
        async (transaction, current) => {
          const live = await listWorkloadsOfRunner(transaction, current.id);
          if (live.length > 0 && !request.force) {
            throw new AgynError(
              "RUNNER_BUSY",
              `runner ${current.name} has ${live.length} live workload${live.length === 1 ? "" : "s"}: drain it first, or delete it with force and lose them`,
            );
          }
          ended.push(...live.map((one) => one.id));
          await endWorkloads(
            transaction,
            deps.writer,
            live.map((one) => lostEnding(one, "its runner was deleted", false)),
          );
          await revokeIdentities(transaction, current.id);
          await insertRevocation(transaction, current.id, "IDENTITY_REVOKED");
          return runners.deleteRunner(transaction, current.id);
        },
      );
      deps.onRevoked();
      deps.onWorkloadsEnded(ended);
      return reply(row, context);
    },
    pauseRunner: (request, context) => setAvailability(context, request.reason, moves.pause),
    resumeRunner: (request, context) => setAvailability(context, request.reason, moves.resume),
    drainRunner: (request, context) => setAvailability(context, request.reason, moves.drain),
    unlockRunner: (request, context) => setAvailability(context, request.reason, moves.unlock),
    async rotateServiceToken(request, context) {
      const { runner } = targetOf(context, "runner");
      const token = createServiceToken({ runnerId: runner.id, rootPin: deps.rootPin });
      const row = await change(context, { action: "runner.rotate_token" }, (transaction, current) =>
        runners.replaceToken(transaction, current.id, toTokenRow(token.publicKey, request.tokenOptions)),
      );
      return { ...(await reply(row, context)), serviceToken: token.text };
    },
    async revokeIdentity(request, context) {
      const row = await change(
        context,
        { action: "runner.revoke", details: { reason: request.reason } },
        async (transaction, current) => {
          await revokeIdentities(transaction, current.id);
          await insertRevocation(transaction, current.id, "IDENTITY_REVOKED");
          return current;
        },
      );
      deps.onRevoked();
      return reply((await runners.getRunner(sql, row.id)) ?? row, context);
    },
  };
}

function unlockHint(row: RunnerRow): string {
  return row.availability === "locked" ? `: ${row.availabilityReason}; unlock it first` : ", not locked";
}
