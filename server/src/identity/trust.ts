import { randomBytes } from "node:crypto";
import { createTrustDomain, isTrustDomain } from "../../../wire/spiffe.ts";
import { ConfigError } from "../config.ts";
import type { Sql } from "../store/database.ts";
import { claimSealedSecret, claimSetting, getSealedSecret } from "../store/settings.ts";
import { createAuthority } from "./authority-material.ts";
import { openAuthority, type Authority } from "./authority.ts";
import type { AuthorityMaterial } from "./authority-material.ts";
import type { MasterKey } from "./master-key.ts";

/** What the control plane proves itself and its runners with: made at the first start, sealed in the database, the same on every replica. */
export type Trust = { authority: Authority; nonceKey: Uint8Array };

/** Opens what is there, or makes it. The trust domain never changes. */
export async function openTrust(
  sql: Sql,
  masterKey: MasterKey,
  wantedDomain: string | undefined,
  now: Date,
): Promise<Trust> {
  if (wantedDomain !== undefined && !isTrustDomain(wantedDomain))
    throw new ConfigError(`trust_domain: "${wantedDomain}" is not a trust domain`);
  const trustDomain = await claimSetting(sql, "trust_domain", wantedDomain ?? createTrustDomain());
  if (wantedDomain !== undefined && wantedDomain !== trustDomain) {
    throw new ConfigError(`trust_domain: this database has the trust domain ${trustDomain}, which never changes`);
  }
  const material = await claimSecret(sql, masterKey, "authority", async () =>
    Buffer.from(JSON.stringify(await createAuthority({ trustDomain, now }))),
  );
  const nonceKey = await claimSecret(sql, masterKey, "nonce-key", () => Promise.resolve(randomBytes(32)));
  return { authority: openAuthority(JSON.parse(Buffer.from(material).toString()) as AuthorityMaterial), nonceKey };
}

async function claimSecret(
  sql: Sql,
  masterKey: MasterKey,
  name: string,
  make: () => Promise<Uint8Array>,
): Promise<Uint8Array> {
  const found = await getSealedSecret(sql, name);
  const sealed = found ?? (await claimSealedSecret(sql, name, masterKey.seal(await make(), `secret/${name}`)));
  const opened = masterKey.open(sealed, `secret/${name}`);
  if ("error" in opened)
    throw new ConfigError(
      `master_key_file: it does not open what is in the database (${opened.error}): use the key that the database was made with`,
    );
  return opened;
}
