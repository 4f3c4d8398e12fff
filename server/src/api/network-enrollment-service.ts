import type { ServiceImpl } from "@connectrpc/connect";
import type { EnrollInNetworkRequest, RunnersService } from "../../../proto/gen/agyn/runners/v1/runners_service_pb.ts";
import { csrToPem } from "../../../wire/csr.ts";
import { AgynError } from "../domain/errors.ts";
import { refuseDeadIdentity } from "../domain/identity.ts";
import { findGeneration } from "../store/identities.ts";
import { getRunner } from "../store/runners.ts";
import { proveIdentity } from "./identity-proof.ts";
import { audited, type IssueDeps } from "./issue-identity.ts";

export type NetworkEnrollmentDeps = IssueDeps & {
  /** Gets a runner a certificate of the network; rejects while that is away. `undefined` where there is none that issues them. */
  enrollInNetwork: ((runner: { id: string; csrPem: string }, signal: AbortSignal) => Promise<string>) | undefined;
};

/** For all that is asked of the network's controller. */
const timeout_ms = 15_000;
const retry_ms = 1000;

/** How a runner gets what it logs in with to a network that takes no certificates but its own. */
export function createNetworkEnrollment(
  deps: NetworkEnrollmentDeps,
): Pick<ServiceImpl<typeof RunnersService>, "enrollInNetwork"> {
  return {
    enrollInNetwork(request, context) {
      const attempt = { context, action: "runner.enroll_in_network", runnerId: request.runnerId };
      const { signal } = context;
      return audited(deps, attempt, () => deps.turns(request.runnerId, () => enroll(request, signal)));
    },
  };

  async function enroll(request: EnrollInNetworkRequest, signal: AbortSignal) {
    if (deps.enrollInNetwork === undefined)
      throw new AgynError("STATE", "there is no network that issues certificates to runners");
    await refuseBadIdentity(request);
    const runner = { id: request.runnerId, csrPem: csrToPem(request.csr) };
    try {
      const until = AbortSignal.any([signal, AbortSignal.timeout(timeout_ms)]);
      return { certificatePem: await deps.enrollInNetwork(runner, until) };
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new AgynError("UNAVAILABLE", `the network cannot enroll this runner now: ${why}`, {
        retryAfter_ms: retry_ms,
      });
    }
  }

  /** Only the live identity counts (I12), and only that of this runner. */
  async function refuseBadIdentity(request: EnrollInNetworkRequest): Promise<void> {
    const { identitySpki } = await proveIdentity(deps, "enroll-in-network", request);
    const [runner, generation] = await Promise.all([
      getRunner(deps.sql, request.runnerId),
      findGeneration(deps.sql, identitySpki),
    ]);
    const isOwn = generation?.runnerId === request.runnerId;
    if (runner === undefined || runner.deleteTime !== null || !isOwn)
      throw new AgynError("IDENTITY_REVOKED", "this identity is not known here: enroll with the service token");
    refuseDeadIdentity(runner, generation);
    if (generation.expireTime.getTime() <= Date.now())
      throw new AgynError("IDENTITY_EXPIRED", "the certificate has expired: renew it first");
  }
}
