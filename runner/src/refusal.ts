import { ConnectError } from "@connectrpc/connect";
import { ErrorInfoSchema, RetryInfoSchema } from "../../proto/gen/google/rpc/error_details_pb.ts";
import { durationMs } from "./wire-time.ts";

/** The domain of the control plane's own reasons. */
const reasonDomain = "agyn";

/** What a failed call says: a name of `agyn.errors.v1.Reason` without its prefix, `undefined` where there is none. */
export type Refusal = { reason: string | undefined; message: string; retryAfterMs: number | undefined };

/** Reads the refusal out of whatever a call threw. */
export function refusalOf(error: unknown): Refusal {
  const connectError = ConnectError.from(error);
  const info = connectError.findDetails(ErrorInfoSchema).find(({ domain }) => domain === reasonDomain);
  const retry = connectError.findDetails(RetryInfoSchema)[0]?.retryDelay;
  return {
    reason: info?.reason,
    message: distrustOf(connectError) ?? messageOf(connectError),
    retryAfterMs: retry === undefined ? undefined : durationMs(retry),
  };
}

/** What a gateway whose certificate is not trusted here needs; Node's own advice is for who starts Node. */
function distrustOf({ cause, rawMessage }: ConnectError): string | undefined {
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
  if (!/SELF_SIGNED|^UNABLE_TO_(GET|VERIFY)/.test(code)) return undefined;
  return `${rawMessage.split(";")[0]}: name the authority of the gateway's certificate with --ca-file`;
}

/** The text of whatever was thrown, with the cause where it says more. */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const text = error instanceof ConnectError ? error.rawMessage : error.message;
  const cause = error.cause instanceof Error ? error.cause.message : "";
  return cause === "" || text.includes(cause) ? text : `${text}: ${cause}`;
}
