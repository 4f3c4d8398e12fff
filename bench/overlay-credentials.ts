import { createAuthority } from "../server/src/identity/authority-material.ts";
import { openAuthority } from "../server/src/identity/authority.ts";
import { createCsr, createIdentityKey } from "../wire/csr.ts";
import { createId } from "../wire/ids.ts";
import { createTrustDomain } from "../wire/spiffe.ts";

/** What both ends of a secured connection show and accept, of an authority of their own; good for an hour. */
export async function createCredentials() {
  const now = new Date();
  const ttl_ms = 3_600_000;
  const authority = await openAuthority(await createAuthority({ trustDomain: createTrustDomain(), now }));
  const leaf = await authority.issueControlPlaneLeaf({ now, ttl_ms });
  const key = createIdentityKey();
  const runner = await authority.issueRunnerCertificate({
    csr: createCsr(key),
    scope: { kind: "cluster" },
    runnerId: createId("runner"),
    identityId: createId("identity"),
    generation: 1,
    now,
    ttl_ms,
  });
  if ("error" in runner) throw new Error(runner.error);
  const rootPem = authority.trustBundle;
  const clientIssuersPem = [authority.runnersIssuerPem];
  const pem = { format: "pem", type: "pkcs8" } as const;
  return {
    server: { keyPem: leaf.key.export(pem).toString(), chainPem: leaf.chainPem, rootPem, clientIssuersPem },
    client: {
      keyPem: key.export(pem).toString(),
      chainPem: runner.chainPem,
      rootPem,
      trustDomain: authority.trustDomain,
    },
  };
}
