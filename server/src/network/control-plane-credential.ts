import type { Credential } from "../../../overlay/openziti/credential.ts";
import type { Authority } from "../identity/authority.ts";

/** For how long one certificate is good, and from when on another is made. */
const ttl_ms = 6 * 3_600_000;
const renewal_ms = ttl_ms / 2;

/** What the control plane logs in to the network with: a certificate of its own authority, made anew in time and kept nowhere. */
export function createControlPlaneCredential(authority: Authority, caPem: string): () => Promise<Credential> {
  let current: { credential: Promise<Credential>; until_ms: number } | undefined;

  const issue = async (now: Date): Promise<Credential> => {
    const { key, chainPem } = await authority.issueControlPlaneClient({ now, ttl_ms });
    return { keyPem: key.export({ type: "pkcs8", format: "pem" }), certPem: chainPem, caPem };
  };
  return () => {
    const now = new Date();
    if (current === undefined || current.until_ms <= now.getTime())
      current = { credential: issue(now), until_ms: now.getTime() + renewal_ms };
    return current.credential;
  };
}
