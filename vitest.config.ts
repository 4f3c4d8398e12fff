import { existsSync } from "node:fs";
import { defineConfig } from "vitest/config";

const globalSetup = "test/support/global-setup.ts";

// Tests start servers, runners and PostgreSQL, and wait for them more than they compute: three files at a time keep two cores
// busy, and more would only make them wait for each other. The time-outs are for a machine that is busy with something else; no test is given a second chance.
export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    exclude: ["test/fixtures/**", "**/node_modules/**"],
    globalSetup: existsSync(new URL(globalSetup, import.meta.url)) ? [globalSetup] : [],
    reporters: ["./test/support/reporter.ts"],
    pool: "forks",
    maxWorkers: 3,
    testTimeout: 120_000,
    hookTimeout: 120_000,
    teardownTimeout: 40_000,
    expect: { poll: { timeout: 40_000, interval: 50 } },
  },
});
