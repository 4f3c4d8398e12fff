import { existsSync } from "node:fs";
import { defineConfig } from "vitest/config";
import { SlowestFirst } from "./test/support/sequencer.ts";

const globalSetup = "test/support/global-setup.ts";

// What turns the clock of its process, or measures its memory, has a process of its own.
const alone = [
  "test/simulation/**/*.test.ts",
  "test/loops/place-jobs.test.ts",
  "test/scenarios/enormous-line.test.ts",
  "test/logs/line-splitter.test.ts",
  "test/wire/log-records.test.ts",
];
const never = ["test/fixtures/**", "**/node_modules/**"];

// Tests start servers, runners and PostgreSQL, and wait for them more than they compute: three files at a time keep two cores
// busy, and more would only make them wait for each other. All others share the three processes, since a server's modules take a
// second to load. The time-outs are for a machine that is busy with something else; no test is given a second chance.
export default defineConfig({
  test: {
    globalSetup: existsSync(new URL(globalSetup, import.meta.url)) ? [globalSetup] : [],
    reporters: ["./test/support/reporter.ts"],
    sequence: { sequencer: SlowestFirst },
    maxWorkers: 3,
    teardownTimeout: 40_000,
    projects: [
      { extends: true, test: { name: "alone", include: alone, exclude: never } },
      {
        extends: true,
        test: { name: "shared", include: ["test/**/*.test.ts"], exclude: [...never, ...alone], isolate: false },
      },
    ],
    pool: "forks",
    testTimeout: 120_000,
    hookTimeout: 120_000,
    expect: { poll: { timeout: 40_000, interval: 50 } },
  },
});
