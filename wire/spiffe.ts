import { randomBytes } from "node:crypto";
import { isId, toBase32 } from "./ids.ts";

/** Whom a runner serves: one organization, or all of the cluster. */
export type RunnerScope =
  | { readonly kind: "organization"; readonly organizationId: string }
  | { readonly kind: "cluster" };

/** What a runner's SPIFFE URI says. */
export interface RunnerName {
  readonly scope: RunnerScope;
  readonly runnerId: string;
}

/** Longest trust domain, in characters. */
const maxTrustDomainLength = 63;

const trustDomainPattern = /^[a-z][a-z0-9]*([.-][a-z0-9]+)*$/;
const runnerUriPattern =
  /^spiffe:\/\/([a-z0-9.-]{1,63})\/(?:org\/(org_[a-z2-7]{16})|cluster)\/runner\/(rnr_[a-z2-7]{16})$/;
const controlPlaneUriPattern = /^spiffe:\/\/([a-z0-9.-]{1,63})\/control-plane$/;

/** A new trust domain: `agyn-` and 16 random characters (80 bits), so that two installations never share one. */
export function createTrustDomain(): string {
  return `agyn-${toBase32(randomBytes(10))}`;
}

/** Whether `text` can be a trust domain: lower-case letters, digits, single dots and dashes, first a letter. */
export function isTrustDomain(text: string): boolean {
  return text.length <= maxTrustDomainLength && trustDomainPattern.test(text);
}

/** The name of the control plane of a trust domain. */
export function controlPlaneUri(trustDomain: string): string {
  return `spiffe://${trustDomain}/control-plane`;
}

/** The trust domain of a control plane's name, or `undefined` where `uri` is not one. */
export function parseControlPlaneUri(uri: string): string | undefined {
  const trustDomain = controlPlaneUriPattern.exec(uri)?.[1];
  return trustDomain !== undefined && isTrustDomain(trustDomain) ? trustDomain : undefined;
}

/** The name of a runner. Throws where an id is malformed. */
export function runnerUri(trustDomain: string, { scope, runnerId }: RunnerName): string {
  if (!isId("runner", runnerId)) throw new RangeError(`not a runner id: ${JSON.stringify(runnerId)}`);
  if (scope.kind === "cluster") return `spiffe://${trustDomain}/cluster/runner/${runnerId}`;

  if (!isId("organization", scope.organizationId)) {
    throw new RangeError(`not an organization id: ${JSON.stringify(scope.organizationId)}`);
  }
  return `spiffe://${trustDomain}/org/${scope.organizationId}/runner/${runnerId}`;
}

/** What a runner's name says, or `undefined` where `uri` is not exactly the name of a runner of `trustDomain`. */
export function parseRunnerUri(trustDomain: string, uri: string): RunnerName | undefined {
  const match = runnerUriPattern.exec(uri);
  const runnerId = match?.[3];
  if (match?.[1] !== trustDomain || runnerId === undefined) return undefined;

  const organizationId = match[2];
  return {
    runnerId,
    scope: organizationId === undefined ? { kind: "cluster" } : { kind: "organization", organizationId },
  };
}

/**
 * The one URI among a certificate's subject alternative names as Node prints them, or `undefined` where there is
 * another number or kind of names. Node quotes a name that holds a comma or a quote, so that what passes is one name.
 */
export function onlyUriName(subjectAltName: string | undefined): string | undefined {
  return /^URI:([!#-+\--~]+)$/.exec(subjectAltName ?? "")?.[1];
}
