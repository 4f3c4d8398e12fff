import { createHash } from "node:crypto";
import { createClient } from "@connectrpc/connect";
import { ArtifactsService } from "../../proto/gen/agyn/artifacts/v1/artifacts_service_pb.ts";
import { backoffMs, pause } from "./backoff.ts";
import type { ContentRef } from "./executors/executor.ts";
import type { HoldingRef } from "./holding.ts";
import { refusalOf } from "./refusal.ts";
import type { TransportGate } from "./transport-gate.ts";

/** Reasons for which asking again would be in vain. */
const finalReasons: ReadonlySet<string> = new Set(["NOT_FOUND", "STALE_FENCE", "INVALID_ARGUMENT", "STATE"]);

/**
 * The bytes of a content that a workload's spec names, checked against its digest and size: throws at the end where they
 * differ, and at the first byte too many. A cut link is dialed again, and reading goes on where it was.
 */
export async function* readContent(
  gate: TransportGate,
  { workloadId, fence }: HoldingRef,
  { sha256, sizeBytes }: ContentRef,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const hash = createHash("sha256");
  let offset = 0;
  for (let failures = 0; ;) {
    const client = createClient(ArtifactsService, await gate.get(signal));
    try {
      const request = { workloadId, fence, sha256, offset: BigInt(offset) };
      for await (const { data } of client.readContent(request, { signal })) {
        offset += data.length;
        checkSize(offset <= sizeBytes, { sha256, sizeBytes, offset });
        hash.update(data);
        failures = 0;
        yield data;
      }
      break;
    } catch (error) {
      const { reason } = refusalOf(error);
      if (signal.aborted || error instanceof ContentError || finalReasons.has(reason ?? "")) throw error;
      failures += 1;
      await pause(backoffMs(failures, Math.random()), signal);
    }
  }
  checkSize(offset === sizeBytes, { sha256, sizeBytes, offset });
  if (hash.digest("hex") !== sha256) throw new ContentError(`what arrived does not have the SHA-256 ${sha256}`);
}

function checkSize(isRight: boolean, { sha256, sizeBytes, offset }: ContentRef & { offset: number }): void {
  if (!isRight) throw new ContentError(`content ${sha256} has ${offset} bytes or more instead of ${sizeBytes}`);
}

/** What arrived is not what was meant. */
class ContentError extends Error {}
