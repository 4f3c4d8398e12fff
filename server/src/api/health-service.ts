import type { ServiceImpl } from "@connectrpc/connect";
import {
  HealthCheckResponse_ServingStatus as Status,
  type Health,
} from "../../../proto/gen/grpc/health/v1/health_pb.ts";
import { AgynError } from "../domain/errors.ts";

/** How often a watched state is looked at, in ms. */
const watchPeriod_ms = 1000;

/** gRPC health: the server serves while it is ready (I11). `known` are the names of its services. */
export function createHealthService(
  isReady: () => Promise<boolean>,
  known: ReadonlySet<string>,
): ServiceImpl<typeof Health> {
  const statusOf = async (service: string) => {
    if (service !== "" && !known.has(service)) return Status.SERVICE_UNKNOWN;
    return (await isReady()) ? Status.SERVING : Status.NOT_SERVING;
  };
  return {
    async check({ service }) {
      const status = await statusOf(service);
      if (status === Status.SERVICE_UNKNOWN) throw new AgynError("NOT_FOUND", `there is no service "${service}"`);
      return { status };
    },
    async *watch({ service }, { signal }) {
      let last: Status | undefined;
      while (!signal.aborted) {
        const status = await statusOf(service);
        if (status !== last) yield { status };
        last = status;
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, watchPeriod_ms);
          signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
        });
      }
    },
  };
}
