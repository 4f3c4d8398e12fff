import type { JsonValue } from "@bufbuild/protobuf";
import type { Context } from "./context.ts";
import { safe } from "./output.ts";

interface ShownAccessToken {
  readonly sentence: string;
  /** What people call it. */
  readonly noun?: string;
  readonly id: string;
  readonly token: string;
  /** The file that holds it. */
  readonly path: string | undefined;
  readonly json: () => JsonValue;
}

/** Shows a new token once, or where it is. */
export async function showAccessToken({ output }: Context, shown: ShownAccessToken): Promise<void> {
  if (output.format === "name") return output.line(safe(shown.id));
  const { noun = "access token" } = shown;
  const place =
    shown.path === undefined ? `${noun}, shown this once: ${safe(shown.token)}` : `the ${noun} is in ${shown.path}`;
  const json = (): JsonValue => (shown.path === undefined ? shown.json() : withoutToken(shown.json()));
  return output.document(json, `${safe(shown.sentence)}\n${place}\n`);
}

/** The secret is the one text among the fields; the records about it are objects. */
function withoutToken(json: JsonValue): JsonValue {
  if (typeof json !== "object" || json === null || Array.isArray(json)) return json;
  return Object.fromEntries(Object.entries(json).filter(([, value]) => typeof value !== "string"));
}
