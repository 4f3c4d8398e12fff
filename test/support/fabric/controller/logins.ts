import type { X509Certificate } from "node:crypto";
import { isDisabled } from "../access.ts";
import { invalidAuth, type Call } from "./http.ts";
import type { AuthPolicy, Ca, Identity } from "../model.ts";
import { fingerprintOf, isIssuedUnder, urisOf } from "../pki.ts";
import type { ControllerState } from "../state.ts";

/** Who proved to be whom, and by what. */
export interface Login {
  readonly identity: Identity;
  readonly authenticatorId?: string | undefined;
  /** The certificates that the session is bound to. */
  readonly fingerprints: string[];
}

/** Logs in by name and password. Throws INVALID_AUTH. */
export function loginByPassword(
  state: ControllerState,
  credentials: { readonly username: string; readonly password: string },
  peer?: X509Certificate,
): Login {
  const { model } = state;
  const found = model.authenticators.find(
    (one) => one.method === "updb" && one.username === credentials.username && one.password === credentials.password,
  );
  const identity = found && model.identities.get(found.identityId);
  if (identity === undefined) throw invalidAuth();
  checkIdentity(state, identity, (policy) => policy.primary.updb.allowed);
  return { identity, authenticatorId: found?.id, fingerprints: peer === undefined ? [] : [fingerprintOf(peer)] };
}

/** Logs in by the certificate of the TLS connection: one of this controller, or of a verified authority. */
export function loginByCertificate(state: ControllerState, { peer, chain }: Pick<Call, "peer" | "chain">): Login {
  if (peer === undefined) throw invalidAuth();
  const fingerprint = fingerprintOf(peer);
  const { model } = state;
  const authenticator = model.authenticators.find((one) => one.method === "cert" && one.fingerprint === fingerprint);
  const identity =
    authenticator === undefined ? externalIdentity(state, peer, chain) : model.identities.get(authenticator.identityId);
  if (identity === undefined) throw invalidAuth();

  checkIdentity(state, identity, ({ primary: { cert } }) => {
    const inTime = state.now() <= new Date(peer.validTo) && state.now() >= new Date(peer.validFrom);
    return cert.allowed && (inTime || cert.allowExpiredCerts);
  });
  return { identity, authenticatorId: authenticator?.id, fingerprints: [fingerprint] };
}

/** Whether some authority that the controller trusts issued a certificate. */
export function isTrusted(state: ControllerState, peer: X509Certificate, chain: readonly X509Certificate[]): boolean {
  const cas = state.model.cas.all().filter((ca) => ca.isVerified);
  return [state.authority.caPem, ...cas.map((ca) => ca.certPem)].some((pem) => isIssuedUnder(peer, pem, chain));
}

/** The identity whose external id a certificate of a verified authority claims. */
function externalIdentity(
  { model }: ControllerState,
  peer: X509Certificate,
  chain: readonly X509Certificate[],
): Identity | undefined {
  const cas = model.cas.all().filter((ca) => ca.isVerified && ca.isAuthEnabled);
  for (const ca of cas.filter(({ certPem }) => isIssuedUnder(peer, certPem, chain))) {
    const claim = claimIn(peer, ca);
    const identity = model.identities.find(({ externalId }) => claim !== undefined && externalId === claim);
    if (identity !== undefined) return identity;
  }
  return undefined;
}

function claimIn(peer: X509Certificate, { externalIdClaim: claim }: Ca): string | undefined {
  if (claim === undefined || claim === null) return undefined;
  const values = valuesAt(peer, claim.location).filter((value) => {
    switch (claim.matcher) {
      case "ALL":
        return true;
      case "SCHEME":
        return value.startsWith(`${claim.matcherCriteria}://`);
      case "PREFIX":
        return value.startsWith(claim.matcherCriteria);
      case "SUFFIX":
        return value.endsWith(claim.matcherCriteria);
    }
  });
  const [first] = values;
  return claim.parser === "SPLIT" ? first?.split(claim.parserCriteria)[claim.index] : values[claim.index];
}

function valuesAt(peer: X509Certificate, location: "COMMON_NAME" | "SAN_URI" | "SAN_EMAIL"): string[] {
  switch (location) {
    case "COMMON_NAME":
      return [/^CN=(.*)$/m.exec(peer.subject)?.[1] ?? ""];
    case "SAN_URI":
      return urisOf(peer);
    case "SAN_EMAIL":
      return (peer.subjectAltName?.split(", ") ?? [])
        .filter((name) => name.startsWith("email:"))
        .map((name) => name.slice(6));
  }
}

function checkIdentity(state: ControllerState, identity: Identity, allows: (policy: AuthPolicy) => boolean): void {
  const policy = state.model.authPolicies.get(identity.authPolicyId);
  if (policy === undefined || !allows(policy) || isDisabled(identity, state.now())) throw invalidAuth();
}
