import { existsSync } from "node:fs";
import { defineConfig } from "vitest/config";

const globalSetup = "test/support/global-setup.ts";

// Tests start servers, runners and PostgreSQL: two files at a time keep two cores busy, and more would only make them
// wait for each other. The time-outs are for a machine that is busy with something else.
export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    exclude: ["test/fixtures/**", "**/node_modules/**"],
    globalSetup: existsSync(new URL(globalSetup, import.meta.url)) ? [globalSetup] : [],
    reporters: ["./test/support/reporter.ts"],
    pool: "forks",
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    teardownTimeout: 20_000,
    // On a shared machine a test of real processes may once be starved past its waits; one that fails twice has a fault.
    retry: process.env["CI"] === "true" ? 1 : 0,
    expect: { poll: { timeout: 20_000, interval: 50 } },
  },
});
