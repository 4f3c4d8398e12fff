import { AgynError } from "../domain/errors.ts";
import type { S3Place } from "./s3-place.ts";

/** What an S3 client throws: an answer of the store by its code, or a fault of the connection. */
type S3Failure = Error & { code?: string; Code?: string; $metadata?: { httpStatusCode?: number } };

const retryAfter_ms = 5000;

/** What callers are told: no fault of theirs, and it passes. */
export function unavailable(): AgynError {
  return new AgynError("UNAVAILABLE", "the store of artifacts and logs does not answer as it should: try again later", {
    retryAfter_ms,
  });
}

/** Whether there is no such object (a missing bucket is another matter). */
export function isMissing(error: unknown): boolean {
  return nameOf(error) === "NoSuchKey" || (nameOf(error) === "NotFound" && statusOf(error) === 404);
}

/** Whether the range that was asked for begins at the object's end or beyond it. */
export function isBeyondEnd(error: unknown): boolean {
  return nameOf(error) === "InvalidRange" || statusOf(error) === 416;
}

const unreachable = new Set([
  "ECONNREFUSED",
  "ECONNRESET",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "EPIPE",
]);

/** Of AWS, and of versitygw. */
const unknownKey = new Set(["InvalidAccessKeyId", "XAdminUserNotFound"]);

/** What the operator can do about a store that was refused at the start: the setting, and what it lacks. */
export function explainStart(error: unknown, { bucket, endpoint, region }: S3Place): string {
  const where = endpoint ?? `AWS in ${region}`;
  const name = nameOf(error);
  const { code, message } = error as S3Failure;
  if (name === "NoSuchBucket") return `s3_bucket: there is no bucket "${bucket}" at ${where}: make it, or name another`;
  if (unknownKey.has(name)) return `s3_bucket: ${where} does not know the access key: check AWS_ACCESS_KEY_ID`;
  if (name === "SignatureDoesNotMatch") return `s3_bucket: ${where} refuses the signature: check AWS_SECRET_ACCESS_KEY`;
  if (name === "CredentialsProviderError")
    return `s3_bucket: there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_SHARED_CREDENTIALS_FILE, or give the machine a role`;
  if (name === "PermanentRedirect" || name === "AuthorizationHeaderMalformed" || statusOf(error) === 301)
    return `s3_region: the bucket "${bucket}" is not in ${region}: ${message}`;
  if (statusOf(error) === 403)
    return `s3_bucket: the credentials may not use the bucket "${bucket}" at ${where} (${name}): allow s3:GetObject, s3:PutObject, s3:DeleteObject, s3:AbortMultipartUpload and s3:ListBucket`;
  if (name === "TimeoutError" || unreachable.has(code ?? ""))
    return `s3_endpoint: ${where} does not answer (${code ?? name}): check the address, and that this machine reaches it`;
  return `s3_bucket: the bucket "${bucket}" at ${where} cannot be used: ${name}: ${message}`;
}

function nameOf(error: unknown): string {
  const { name, Code } = error as S3Failure;
  return Code ?? name;
}

function statusOf(error: unknown): number | undefined {
  return (error as S3Failure).$metadata?.httpStatusCode;
}
