import type { MessageInitShape } from "@bufbuild/protobuf";
import type { EndpointSchema } from "../../proto/gen/agyn/runners/v1/runners_service_pb.ts";
import { createEnrollment } from "./api/enrollment-service.ts";
import { createNetworkEnrollment } from "./api/network-enrollment-service.ts";
import { createRenewal } from "./api/renewal-service.ts";
import { createTurns } from "./api/turns.ts";
import type { Config } from "./config.ts";
import { createAttemptLimiter } from "./identity/attempt-limiter.ts";
import type { ControlPlaneLeaf } from "./identity/authority.ts";
import type { openNetwork } from "./open-network.ts";
import type { openPlacing } from "./open-placing.ts";
import type { State } from "./open-state.ts";

export type EnrollmentMethodsOptions = {
  config: Config;
  state: State;
  placing: Awaited<ReturnType<typeof openPlacing>>;
  network: ReturnType<typeof openNetwork>;
  leaf: () => ControlPlaneLeaf;
  endpoints: () => MessageInitShape<typeof EndpointSchema>[];
  onRevoked: () => void;
};

const burst = 500;
const perSecond = 50;

/** The methods by which runners get identities and keep them: the same ones, with the same limits, wherever they are called. */
export function createEnrollmentMethods(options: EnrollmentMethodsOptions) {
  const { config, state, placing, network, leaf, endpoints, onRevoked } = options;
  const { sql, authority, nonceKey } = state;
  const { meters, onRunnersChanged } = placing;
  const deps = {
    sql,
    authority,
    nonceKey,
    certificateTtl_ms: config.certificateTtl_ms,
    onRunnersChanged,
    onRevoked,
    attempts: createAttemptLimiter(burst, perSecond),
    turns: createTurns(),
  };
  const onEnrolled = () => meters.enrollments.add(1);
  return {
    ...createEnrollment({ ...deps, controlPlaneLeaf: leaf, endpoints, onEnrolled }),
    ...createRenewal({ ...deps, expiredRenewal_ms: config.expiredRenewal_ms }),
    ...createNetworkEnrollment({ ...deps, enrollInNetwork: network?.enrollInNetwork }),
  };
}
