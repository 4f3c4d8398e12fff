import { OverlayError, type OverlayReason } from "../errors.ts";
import { deniedCodes, invalidTokenCodes } from "./protocol.ts";

/** Routers say why in words, and mostly in nothing else. */
const unauthorizedWords =
  /access lost|access denied|not permitted|not allowed|unauthorized|denied|(invalid|expired|unknown|no).{0,12}(session|token)|session.{0,20}(invalid|expired|closed|not found|ended)/i;

/** What a router said no with: its words, its code where there is one, and what it is when the words say nothing. */
export interface Refusal {
  readonly words: string;
  readonly code?: number | undefined;
  readonly otherwise: OverlayReason;
  /** What did not come to be, or ended. */
  readonly what: string;
}

/** A router's no as an `OverlayError`. */
export function readRefusal({ words, code, otherwise, what }: Refusal): OverlayError {
  const known = code !== undefined && [...invalidTokenCodes, ...deniedCodes].includes(code);
  const reason = known || unauthorizedWords.test(words) ? "unauthorized" : otherwise;
  return new OverlayError(reason, words === "" ? what : `${what}: ${words}`);
}
