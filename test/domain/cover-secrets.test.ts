import { expect, test } from "vitest";

import { coverSecrets } from "../../server/src/domain/cover-secrets.ts";

test("a secret that is part of a longer one leaves no rest of it, in whichever order they come", () => {
  expect(coverSecrets("--key=abc-def", ["abc", "abc-def"])).toBe("--key=***");
  expect(coverSecrets("--key=abc-def", ["abc-def", "abc"])).toBe("--key=***");
});

test("secrets that overlap or touch are covered as one", () => {
  expect(coverSecrets("x abcdef y", ["abcd", "cdef"])).toBe("x *** y");
  expect(coverSecrets("aaaab", ["aa"])).toBe("***b");
  expect(coverSecrets("onetwo", ["two", "one"])).toBe("***");
});

test("what is no secret stays, and a secret at the beginning and the end is covered", () => {
  expect(coverSecrets("key and key", ["key"])).toBe("*** and ***");
  expect(coverSecrets("plain", ["key", ""])).toBe("plain");
});
