import { invalidField } from "../domain/errors.ts";

/** A request that says which of its fields are to change. */
type Update = { readonly updateMask?: { readonly paths: readonly string[] } | undefined };

/**
 * What a request is to change: the fields that its mask names, of those that may change, which `fields` gives by the contract's names.
 * Only they are to be written, so that changes of others made at the same time hold. Throws where the mask names none, or another.
 */
export function maskedFields<Request extends Update, Field extends keyof Request>(
  request: Request,
  fields: Readonly<Record<string, Field>>,
): Partial<Pick<Request, Field>> {
  const paths = request.updateMask?.paths ?? [];
  if (paths.length === 0) throw invalidField("update_mask", "it names no field");
  const masked: Partial<Pick<Request, Field>> = {};
  for (const path of paths) {
    const field = Object.hasOwn(fields, path) ? fields[path] : undefined;
    if (field === undefined) {
      const known = Object.keys(fields).join(", ");
      throw invalidField("update_mask", `"${path}" cannot be changed; these can: ${known}`);
    }
    masked[field] = request[field];
  }
  return masked;
}
