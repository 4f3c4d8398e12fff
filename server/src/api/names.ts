import { idPrefixes, isAnyId, type IdKind } from "../../../wire/ids.ts";
import { invalidField } from "../domain/errors.ts";

/**
 * Refuses a name that reads as an id, of its own kind also as the start of one: whoever types the id of a thing that is gone must not
 * reach a namesake, and a name must not take a short id's place.
 */
export function refuseIdAsName(kind: IdKind, name: string): void {
  const prefix = `${idPrefixes[kind]}_`;
  if (name.startsWith(prefix)) throw invalidField("name", `must not begin with "${prefix}", as ids do`);
  if (isAnyId(name)) throw invalidField("name", "must not have the form of an id");
}
