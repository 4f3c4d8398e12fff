import type { DescMessage, Message } from "@bufbuild/protobuf";
import { pathToString } from "@bufbuild/protobuf/reflect";
import { createValidator, type Violation } from "@bufbuild/protovalidate";
import type { Interceptor } from "@connectrpc/connect";
import { AgynError } from "../../domain/errors.ts";
import { patternWords } from "./pattern-words.ts";

/** Compiled once each; there are as many as the contract has. */
const patterns = new Map<string, RegExp>();
const validator = createValidator({ failFast: false, regexMatch: matches });

/**
 * By JavaScript's own engine, which is far quicker than RE2 in JavaScript. Patterns come from the contract alone, and a test
 * sees to it that none of them repeats a group: so the time is linear here too (I9).
 */
function matches(pattern: string, text: string): boolean {
  const known = patterns.get(pattern) ?? new RegExp(pattern, "u");
  patterns.set(pattern, known);
  return known.test(text);
}

/** Throws `INVALID_ARGUMENT` naming each field that breaks a rule of the contract. */
export function validate(schema: DescMessage, message: Message): void {
  const result = validator.validate(schema, message);
  if (result.kind === "valid") return;
  if (result.kind === "error") throw result.error;
  const violations = result.violations.slice(0, 20).map((violation) => ({
    field: violation.field.length === 0 ? "request" : pathToString(violation.field),
    description: describe(violation),
  }));
  const text = violations.map(({ field, description }) => `${field}: ${description}`).join("; ");
  throw new AgynError("INVALID_ARGUMENT", text, { violations });
}

/** A broken pattern in words; the library names the pattern itself between backticks. */
function describe({ ruleId, message, forKey }: Violation): string {
  const pattern = ruleId === "string.pattern" ? message.slice(message.indexOf("`") + 1, -1) : "";
  const text = patternWords(pattern) ?? message;
  return forKey ? `the key ${text}` : text;
}

/** Checks each message that comes in, those of streams too, before anything else reads it. */
export const validateInterceptor: Interceptor = (next) => async (request) => {
  if (!request.stream) {
    validate(request.method.input, request.message);
    return next(request);
  }
  return next({ ...request, message: validated(request.method.input, request.message) });
};

async function* validated<T extends Message>(schema: DescMessage, messages: AsyncIterable<T>): AsyncIterable<T> {
  for await (const message of messages) {
    validate(schema, message);
    yield message;
  }
}
