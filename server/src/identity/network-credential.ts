import { z } from "zod";
import type { Sql } from "../store/database.ts";
import { getSealedSecret, putSealedSecret } from "../store/settings.ts";
import type { MasterKey } from "./master-key.ts";

const schema = z.object({ authenticatorId: z.string(), keyPem: z.string(), certPem: z.string() });

/** What the control plane logs in to a network with that issued it a certificate, and under which id the network has that. */
export type NetworkCredential = z.infer<typeof schema>;

const name = "network-credential";

/** Keeps the credential sealed in the database, the same for every replica (I6). */
export function createNetworkCredentialStore(sql: Sql, masterKey: MasterKey) {
  const context = `secret/${name}`;
  return {
    async load(): Promise<NetworkCredential | undefined> {
      const sealed = await getSealedSecret(sql, name);
      if (sealed === undefined) return undefined;
      const opened = masterKey.open(sealed, context);
      if ("error" in opened) throw new Error(`the credential for the OpenZiti network: ${opened.error}`);
      return schema.parse(JSON.parse(Buffer.from(opened).toString()));
    },
    async save(credential: NetworkCredential): Promise<void> {
      await putSealedSecret(sql, name, masterKey.seal(Buffer.from(JSON.stringify(credential)), context));
    },
  };
}
