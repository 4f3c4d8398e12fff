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
  const empty = new Set(result.violations.filter(isEmpty).map(fieldOf));
  const violations = result.violations
    // What is empty fits no pattern either, which tells nobody anything.
    .filter((violation) => isEmpty(violation) || !empty.has(fieldOf(violation)))
    .slice(0, 20)
    .map((violation) => ({ field: fieldOf(violation), description: describe(violation) }));
  const text = violations.map(({ field, description }) => `${field}: ${description}`).join("; ");
  throw new AgynError("INVALID_ARGUMENT", text, { violations });
}

function fieldOf({ field }: Violation): string {
  return field.length === 0 ? "request" : pathToString(field);
}

function isEmpty({ ruleId, message }: Violation): boolean {
  return ruleId === "string.min_len" && message === "must be at least 1 characters";
}

/** A broken rule in words; the library names patterns and parts of texts themselves, between backticks. */
function describe(violation: Violation): string {
  const text = isEmpty(violation) ? "must not be empty" : ruleWords(violation);
  return violation.forKey ? `the key ${text}` : text;
}

function ruleWords({ ruleId, message }: Violation): string {
  const quoted = message.slice(message.indexOf("`") + 1, -1);
  if (ruleId === "string.not_contains") return `must not contain "${quoted}", which is kept for what agyn itself says`;
  return (ruleId === "string.pattern" ? patternWords(quoted) : undefined) ?? message;
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
