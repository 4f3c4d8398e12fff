/** Why a runner cannot dial the control plane over an OpenZiti network, from what was found there. */

/** What was found; `undefined` where a finding before it left nothing to look at. */
export interface DialFindings {
  /** Locked, or its identity revoked. */
  readonly isBarred: boolean;
  /** Whether the runner's last certificate has expired; `undefined` where it never enrolled. */
  readonly certificate: { readonly isExpired: boolean } | undefined;
  /** How far the controller's clock is ahead of ours; `undefined` where it does not say. */
  readonly clockSkew_ms: number | undefined;
  /** What the runner logs in by: whether the authority of runners is there and verified, or whether the network issued it a certificate. */
  readonly credential: { readonly kind: "authority" | "certificate"; readonly isKnown: boolean };
  /** The fields in which the runner's identity there differs; `undefined` where it is not there. */
  readonly identityDifferences: readonly string[] | undefined;
  /** What the controller's policies say; `undefined` where the identity or the service is not there. */
  readonly access: { readonly isDialAllowed: boolean; readonly routersOnline: number } | undefined;
  /** How many hosts the control plane's service has. */
  readonly hosts: number;
}

/** One thing that a dial needs. */
export interface DialCheck {
  readonly name: string;
  readonly passed: boolean;
  /** What was found, and where it did not pass, what to do. */
  readonly message: string;
}

/** Certificates are issued for a moment ago; a clock that is further off refuses them. */
const maximumSkew_ms = 60_000;
const isRepaired = "the leader repairs this by itself: see the error in agynctl overlay status if it stays";

const notEnrolled = "not enrolled in the network: the runner does that by itself once it reaches the gateway";

/** All checks, in the order in which a dial needs them. */
export function checkDial(findings: DialFindings): DialCheck[] {
  const { certificate, access, identityDifferences: differences, clockSkew_ms: skew_ms } = findings;
  const check = (name: string, passed: boolean, yes: string, no: string): DialCheck => ({
    name,
    passed,
    message: passed ? yes : no,
  });
  return [
    check(
      "runner",
      !findings.isBarred,
      "neither locked nor revoked",
      "locked, or its identity revoked: unlock it, and let it enroll anew",
    ),
    check(
      "certificate",
      certificate?.isExpired === false,
      "not expired",
      certificate ? "expired: start the runner, which renews it" : "none: the runner has not enrolled yet",
    ),
    check(
      "clock",
      skew_ms === undefined || Math.abs(skew_ms) <= maximumSkew_ms,
      skew_ms === undefined ? "the controller does not say what time it is" : "the controller's agrees with ours",
      `the controller's is ${Math.round((skew_ms ?? 0) / 1000)} s ahead of ours: set the clocks right`,
    ),
    findings.credential.kind === "authority"
      ? check(
          "authority",
          findings.credential.isKnown,
          "known and verified",
          `not known or not verified: ${isRepaired}`,
        )
      : check("enrollment", findings.credential.isKnown, "enrolled in the network", notEnrolled),
    check(
      "identity",
      differences?.length === 0,
      "there, and as it should be",
      differences ? `differs in ${differences.join(", ")}: ${isRepaired}` : `not there: ${isRepaired}`,
    ),
    check("dial policy", access?.isDialAllowed === true, "lets it dial", `does not let it dial: ${isRepaired}`),
    check(
      "routers",
      (access?.routersOnline ?? 0) > 0,
      `${access?.routersOnline} that runner and service share are online`,
      "none that runner and service share is online: start one, or name others in ziti_router_roles",
    ),
    check(
      "hosts",
      findings.hosts > 0,
      `${findings.hosts} of the control plane`,
      "none: no replica hosts the runner plane; their logs say why",
    ),
  ];
}
