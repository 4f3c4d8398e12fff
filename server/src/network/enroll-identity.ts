/** One-time enrollment in an OpenZiti network that is to know no authority of ours: it issues the certificates itself. */
import { z } from "zod";
import { OverlayError } from "../../../overlay/errors.ts";
import { redeemToken } from "../../../overlay/openziti/enroll-one-time.ts";
import { quoted, type Entity, type Management } from "../../../overlay/openziti/management.ts";
import type { ControllerUrls } from "../../../overlay/openziti/controller-list.ts";
import { ownTags } from "../domain/overlay-plan.ts";

/** The network, and whose identities there are ours. */
export type EnrollmentPlace = {
  management: Management;
  controllers: ControllerUrls;
  caPem: string;
  trustDomain: string;
};

/** For how long a token may be used, which is done at once. */
const tokenLife_ms = 5 * 60_000;

const authenticating = z.object({ authenticators: z.object({ cert: z.object({ id: z.string() }) }) });

/** The id under which the network has the certificate of an identity, if it issued one. */
export function authenticatorOf(identity: Readonly<Record<string, unknown>>): string | undefined {
  const parsed = authenticating.safeParse(identity);
  return parsed.success ? parsed.data.authenticators.cert.id : undefined;
}

/** An identity of ours by its name, if it is there. Rejects with an `OverlayError`. */
export async function findIdentity(
  { management, trustDomain }: EnrollmentPlace,
  name: string,
  signal: AbortSignal,
): Promise<Entity | undefined> {
  const tags = Object.entries(ownTags(trustDomain)).map(([tag, value]) => `tags.${tag}=${quoted(value)}`);
  const [found] = await management.list("identities", [`name=${quoted(name)}`, ...tags].join(" and "), signal);
  return found;
}

/**
 * Gets an identity of ours a certificate (PEM) of the network, for the key of a request. The token that stands for it is spent here, and
 * goes to nobody (I6). Rejects with an `OverlayError`: "unreachable" where the identity is not there yet.
 */
export async function enrollIdentity(
  place: EnrollmentPlace,
  { name, csrPem }: { name: string; csrPem: string },
  signal: AbortSignal,
): Promise<string> {
  const identity = await findIdentity(place, name, signal);
  if (identity === undefined) throw new OverlayError("unreachable", `the network has no identity ${name} yet`);
  const { management, controllers, caPem } = place;
  const token = await management.openEnrollment(identity.id, new Date(Date.now() + tokenLife_ms), signal);
  return redeemToken({ controllers, caPem, token, csrPem }, signal);
}
