import { Code, ConnectError } from "@connectrpc/connect";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "../../proto/gen/google/rpc/error_details_pb.ts";
import { sanitizeText } from "../../wire/terminal-text.ts";
import { formatDuration, fromProtoDuration } from "./durations.ts";
import { quote } from "./quote.ts";
import { exitCodes, Failure, type ExitCode } from "./failures.ts";

/** What an error says about how it came about. */
export interface ErrorSituation {
  /** As far as it was known. */
  readonly gateway: string | undefined;
  readonly tokenSource: string | undefined;
}

/** A name of `agyn.errors.v1.Reason` without its prefix, where the server gave one. */
export function errorReason(error: unknown): string | undefined {
  return error instanceof ConnectError ? error.findDetails(ErrorInfoSchema)[0]?.reason : undefined;
}

/** Any error as one line for a person, what to do about it, and the exit code. */
export function toFailure(error: unknown, situation: ErrorSituation): Failure {
  if (error instanceof Failure) return error;
  if (!(error instanceof ConnectError)) {
    const message = error instanceof Error ? error.message : String(error);
    return new Failure(message, exitCodes.failure);
  }
  const gateway = situation.gateway ?? "the gateway";
  const misfit = tlsMisfit(error, gateway) ?? stranger(error, gateway);
  if (misfit !== undefined) return misfit;
  return new Failure(describe(error), exitCodeFor(error), hintFor(error, situation));
}

/** What keeps two sides from agreeing on TLS, which no further try would mend. */
function tlsMisfit(error: ConnectError, gateway: string): Failure | undefined {
  const code = (error.cause as NodeJS.ErrnoException | undefined)?.code ?? "";
  const failure = (text: string, hint: string) => new Failure(text, exitCodes.unavailable, hint);
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID")
    return failure(error.rawMessage, "use a host that the certificate names with --gateway or AGYN_GATEWAY");
  if (/^CERT_|SELF_SIGNED|^UNABLE_TO_(GET|VERIFY)/.test(code))
    return failure(
      `the certificate of ${gateway} is not trusted here: ${error.rawMessage.split(";")[0]}`,
      "name the authority that signed it with --ca-file or AGYN_CA_FILE",
    );
  if (gateway.startsWith("https:") && /^ERR_SSL_|^EPROTO$/.test(code))
    return failure(`${gateway} does not speak TLS`, "is it http:// there?");
  if (gateway.startsWith("http:") && error.rawMessage.startsWith("http/2 stream closed with error code CANCEL"))
    return failure(`${gateway} ended the connection without an answer`, "is it https:// there?");
  return undefined;
}

/** An answer in none of the contract's protocols, so from something else; a proxy whose control plane is away says 502 to 504. */
function stranger({ code, rawMessage }: ConnectError, gateway: string): Failure | undefined {
  if (code === Code.Unavailable || !/^HTTP \d{3}$/.test(rawMessage)) return undefined;
  const text = `${gateway} answered with ${rawMessage}, as no control plane does`;
  return new Failure(text, exitCodes.unavailable, "choose another with --gateway or AGYN_GATEWAY");
}

function describe(error: ConnectError): string {
  const violations = error.findDetails(BadRequestSchema).flatMap(({ fieldViolations }) => fieldViolations);
  const listed = violations
    .slice(0, 8)
    .map(({ field, description }) => (field === "" ? description : `${field}: ${description}`));
  if (listed.length > 0) return listed.join("; ");
  if (error.rawMessage !== "") return error.rawMessage;
  return `the server answered with ${Code[error.code].toLowerCase()}`;
}

function exitCodeFor(error: ConnectError): ExitCode {
  if (errorReason(error) === "NO_RUNNER") return exitCodes.noRunner;
  switch (error.code) {
    case Code.NotFound:
      return exitCodes.notFound;
    case Code.Unauthenticated:
    case Code.PermissionDenied:
      return exitCodes.denied;
    case Code.Unavailable:
    case Code.DeadlineExceeded:
      return exitCodes.unavailable;
    case Code.InvalidArgument:
      return errorReason(error) === undefined ? exitCodes.failure : exitCodes.usage;
    default:
      return exitCodes.failure;
  }
}

function hintFor(error: ConnectError, situation: ErrorSituation): string | undefined {
  const info = error.findDetails(ErrorInfoSchema)[0];
  const retryDelay = error.findDetails(RetryInfoSchema)[0]?.retryDelay;
  const byReason = info === undefined ? undefined : hintForReason(info.reason, info.metadata);
  if (byReason !== undefined) return byReason;
  if (retryDelay !== undefined) return `try again in ${formatDuration(fromProtoDuration(retryDelay))}`;
  const gateway = situation.gateway ?? "the gateway";
  switch (error.code) {
    case Code.Unauthenticated:
      return situation.tokenSource === "nowhere" || situation.tokenSource === undefined
        ? "no access token was found: set AGYN_TOKEN, give --access-token-file, or run below the directory that holds .agyn"
        : `the access token of ${situation.tokenSource} was not accepted by ${gateway}: give another with AGYN_TOKEN or --access-token-file`;
    case Code.Unavailable:
      return info === undefined
        ? `is the control plane running at ${gateway}? choose another with --gateway or AGYN_GATEWAY`
        : "try again in a moment";
    case Code.DeadlineExceeded:
      return `${gateway} did not answer in time: try again, or allow more with --request-timeout`;
    default:
      return undefined;
  }
}

function hintForReason(reason: string, metadata: Readonly<Record<string, string>>): string | undefined {
  const workload = metadata["workload_id"] ?? metadata["workload"];
  switch (reason) {
    case "NO_RUNNER":
      return workload === undefined
        ? "see which with: agynctl explain"
        : `see why for each runner: agynctl workloads explain ${quote(sanitizeText(workload))}`;
    case "RUNNER_BUSY":
      return "drain it first (agynctl runners drain), or delete with --force: what runs there is declared lost";
    case "AMBIGUOUS_REFERENCE":
      return "use a whole id, or choose the organization with --org";
    case "NOT_FOUND":
      return "list to see what is there; names and numbers are looked up in --org, or in your default organization";
    case "TOKEN_SCOPE":
      return "use a token with that scope: agynctl tokens create --scope";
    case "PERMISSION_DENIED":
      return metadata["role"] === "cluster_admin"
        ? "ask a cluster admin, or use another token"
        : "ask an owner of the organization for the role, or use another token";
    case "NAME_TAKEN":
      return "choose another name";
    case "IDEMPOTENCY_KEY_REUSED":
      return "use a new --idempotency-key for a different request";
    case "RUNNER_LOCKED":
      return "unlock it once the stolen copy is gone: agynctl runners unlock";
    default:
      return undefined;
  }
}
