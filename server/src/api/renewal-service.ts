import type { ServiceImpl } from "@connectrpc/connect";
import type {
  RenewExpiredIdentityRequest,
  RunnersService,
} from "../../../proto/gen/agyn/runners/v1/runners_service_pb.ts";
import { spkiSha256 } from "../../../wire/keys.ts";
import { AgynError } from "../domain/errors.ts";
import { refuseDeadIdentity } from "../domain/identity.ts";
import { insertAuditEvent } from "../store/audit-events.ts";
import type { SqlOrTransaction } from "../store/database.ts";
import * as identities from "../store/identities.ts";
import type { GenerationRow } from "../store/identities.ts";
import { lockClone } from "../store/runner-lock.ts";
import { lockRunner, scopeOf, type RunnerRow } from "../store/runners.ts";
import { runnerOf } from "./context.ts";
import { proveIdentity } from "./identity-proof.ts";
import {
  audited,
  issueGeneration,
  keyOfCsr,
  toIssuedIdentity,
  type IssueDeps,
  type IssueOrder,
} from "./issue-identity.ts";

export type RenewalDeps = IssueDeps & {
  /** For how long after its expiry a certificate may still be renewed. */
  expiredRenewal_ms: number;
};

/** What a renewal came to: a certificate, or the discovery of a second live copy, which has been locked. */
type Renewal = { kind: "renewed"; runner: RunnerRow; row: GenerationRow } | { kind: "clone" };

/** How a runner keeps its identity. */
export function createRenewal(
  deps: RenewalDeps,
): Pick<ServiceImpl<typeof RunnersService>, "renewExpiredIdentity" | "renewIdentity"> {
  const { sql } = deps;
  return {
    renewExpiredIdentity(request, context) {
      const attempt = { context, action: "runner.renew_expired", runnerId: request.runnerId };
      return audited(deps, attempt, () => deps.turns(request.runnerId, () => renewExpired(request)));
    },
    async renewIdentity(request, context) {
      const caller = runnerOf(context);
      const order = { csr: request.csr, publicKey: await keyOfCsr(request.csr) };
      const renewal = await sql.begin(async (transaction) => {
        const runner = await lockRunner(transaction, caller.runnerId);
        const current = await identities.findGeneration(transaction, caller.spkiSha256);
        if (!runner || !current) throw new AgynError("IDENTITY_REVOKED", "this identity is not known here");
        return renew(transaction, runner, current, order);
      });
      return answer(renewal);
    },
  };

  async function renewExpired(request: RenewExpiredIdentityRequest) {
    const { publicKey, identitySpki } = await proveIdentity(deps, "renew-expired-identity", request);
    const renewal = await sql.begin(async (transaction) => {
      const runner = await lockRunner(transaction, request.runnerId);
      const current = await identities.findGeneration(transaction, identitySpki);
      if (!runner || runner.deleteTime !== null || !current || current.runnerId !== runner.id) {
        throw new AgynError("IDENTITY_REVOKED", "this identity is not known here: enroll with the service token");
      }
      if (current.expireTime.getTime() + deps.expiredRenewal_ms < Date.now()) {
        throw new AgynError(
          "IDENTITY_EXPIRED",
          "the identity expired too long ago to be renewed: enroll with the service token",
        );
      }
      return renew(transaction, runner, current, { csr: request.csr, publicKey });
    });
    return answer(renewal);
  }

  /** The next generation of an identity; the same key again gets the same answer. An old generation that asks is a clone (I12). */
  async function renew(
    transaction: SqlOrTransaction,
    runner: RunnerRow,
    current: GenerationRow,
    order: IssueOrder,
  ): Promise<Renewal> {
    const known = await identities.findGeneration(transaction, spkiSha256(order.publicKey).toString("hex"));
    if (known && known.identityId !== current.identityId) {
      throw new AgynError("CSR_INVALID", "csr: its key belongs to another identity");
    }
    const isLive = current.state === "current" && runner.availability !== "locked";
    if (isLive && current.generation < current.usedGeneration) {
      const why = `generation ${current.generation} asked to renew after generation ${current.usedGeneration} was used`;
      await lockClone(transaction, runner, why);
      return { kind: "clone" };
    }
    refuseDeadIdentity(runner, current);
    if (known) return { kind: "renewed", runner, row: known };
    const latest = await identities.getLatestGeneration(transaction, current.identityId);
    const generation = (latest?.generation ?? current.generation) + 1n;
    const { identityId } = current;
    const row = await issueGeneration(deps, transaction, runner, { ...order, identityId, generation });
    await insertAuditEvent(transaction, {
      scope: scopeOf(runner),
      actor: runner.id,
      action: "runner.renew",
      objectId: runner.id,
      objectName: runner.name,
      outcome: "ok",
      details: { generation: String(generation) },
    });
    return { kind: "renewed", runner, row };
  }

  function answer(renewal: Renewal) {
    if (renewal.kind === "renewed") return toIssuedIdentity(deps, renewal.runner, renewal.row);
    deps.onRevoked();
    deps.onRunnersChanged();
    throw new AgynError(
      "RUNNER_LOCKED",
      "two copies of this identity are live: the runner is locked until an operator unlocks it",
    );
  }
}
