import { openSecret } from "../identity/sealed-secret.ts";
import type { MasterKey } from "../identity/master-key.ts";
import { useSecrets } from "../store/secrets.ts";
import type { ReadSecrets } from "./decide-held-run.ts";

/** A project's secret wins over the organization's of the same name; what a stranger wrote gets none. */
export function createReadSecrets(masterKey: MasterKey): ReadSecrets {
  return async (sql, { organizationId, projectId, cause }, names) => {
    if (cause.untrusted === true) return new Map();
    const scope = { organizationId, projectId: projectId === "" ? null : projectId };
    const found = await useSecrets(sql, scope, names);
    return new Map(found.map((one) => [one.name, openSecret(one, masterKey)]));
  };
}
