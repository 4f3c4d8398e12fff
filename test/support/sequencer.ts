import { BaseSequencer, type TestSpecification } from "vitest/node";

/** Which files take longest, longest first: the whole of them, or their folder. */
const slowest = [
  "test/demo/",
  "test/contract/access-matrix.test.ts",
  "test/simulation/",
  "test/scenarios/killing-",
  "test/scenarios/running-pipelines.test.ts",
  "test/scenarios/",
  "test/cli/",
  "test/executor/",
];

/** Begins with what takes longest, so that no worker is left with a long file when the others have nothing more to do. */
export class SlowestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    return sorted.toSorted((a, b) => place(a) - place(b));
  }
}

function place({ moduleId }: TestSpecification): number {
  const index = slowest.findIndex((part) => moduleId.includes(`/${part}`));
  return index === -1 ? slowest.length : index;
}
