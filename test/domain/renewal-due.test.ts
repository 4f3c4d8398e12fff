import { expect, test } from "vitest";
import { renewalDue } from "../../server/src/domain/identity.ts";

const short = { issueTime_ms: 0, expireTime_ms: 8000 };
const long = { issueTime_ms: 0, expireTime_ms: 100_000 };

test("a runner is told to renew when three quarters of its certificate's life are over", () => {
  expect(renewalDue(short, 8000, 1000, 0.5)).toBe(6000);
});

test("where certificates live shorter now, it is told at half of that life, or soon where that is past", () => {
  expect(renewalDue(long, 10_000, 1000, 0)).toBe(5000);
  expect(renewalDue(long, 10_000, 50_000, 0)).toBe(50_000);
  expect(renewalDue(long, 10_000, 50_000, 0.5)).toBe(50_500);
});

test("where certificates live longer now, its own life counts", () => {
  expect(renewalDue(short, 100_000, 1000, 0.5)).toBe(6000);
});
