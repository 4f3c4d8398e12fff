import { isId, type IdKind } from "../../../wire/ids.ts";
import { invalidField } from "../domain/errors.ts";

/** Refuses a name that reads as an id: whoever types the id of a thing that is gone must not reach a namesake. */
export function refuseIdAsName(kind: IdKind, name: string): void {
  if (isId(kind, name)) throw invalidField("name", "it has the form of an id: choose another");
}
