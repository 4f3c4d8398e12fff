import { DefaultReporter, type TestModule } from "vitest/node";
import type { SerializedError } from "vitest";

/** How many tests ended how; what failed outside a test (a file that does not load, a stray rejection) counts as failed. */
export interface Totals {
  passed: number;
  failed: number;
  skipped: number;
}

/** vitest's own report, and as the very last line of the process `N passed, N failed, N skipped`. */
export default class LastLineReporter extends DefaultReporter {
  #totals: Totals = { passed: 0, failed: 0, skipped: 0 };

  constructor() {
    super();
    process.once("exit", () => process.stdout.write(`${formatTotals(this.#totals)}\n`));
  }

  override onTestRunEnd(
    modules: ReadonlyArray<TestModule>,
    errors: ReadonlyArray<SerializedError>,
    reason: Parameters<DefaultReporter["onTestRunEnd"]>[2],
  ): void {
    this.#totals = countTests(modules, errors.length);
    super.onTestRunEnd(modules, errors, reason);
    for (const line of reasonsOfSkips(modules)) this.log(line);
  }
}

/** The line that readers of CI output understand. */
export function formatTotals({ passed, failed, skipped }: Totals): string {
  return `${passed} passed, ${failed} failed, ${skipped} skipped`;
}

/** What was skipped for a reason that the test gives. */
function reasonsOfSkips(modules: ReadonlyArray<TestModule>): string[] {
  return modules.flatMap((module) =>
    [...module.children.allTests("skipped")].flatMap((test) => {
      const result = test.result();
      if (result.state !== "skipped" || result.note === undefined) return [];
      return [`skipped: ${module.relativeModuleId}: ${test.fullName}: ${result.note}`];
    }),
  );
}

function countTests(modules: ReadonlyArray<TestModule>, strayErrors: number): Totals {
  const totals: Totals = { passed: 0, failed: strayErrors, skipped: 0 };
  for (const module of modules) {
    totals.failed += module.errors().length;
    for (const test of module.children.allTests()) {
      const { state } = test.result();
      if (state === "passed") totals.passed++;
      else if (state === "failed") totals.failed++;
      else totals.skipped++;
    }
  }
  return totals;
}
