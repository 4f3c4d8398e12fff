import pino from "pino";
import { expect, test } from "vitest";
import { createClosing } from "../../server/src/closing.ts";

const never = new Promise<never>(() => undefined);

test("what was opened last is closed first; what fails or does not end is named, and holds up nothing", async () => {
  const lines: { what: string; err: { message: string } }[] = [];
  const log = pino({}, { write: (line: string) => lines.push(JSON.parse(line)) });
  const { onClose, close } = createClosing(log, 0, 10);
  const closed: string[] = [];
  onClose("database", async () => void closed.push("database"));
  onClose("feed", () => never);
  onClose("plane", () => Promise.reject(new Error("no such plane")));
  onClose("blobs", () => {
    throw new Error("no such bucket");
  });

  await Promise.all([close(), close()]);

  expect(closed).toEqual(["database"]);
  expect(lines).toMatchObject([
    { what: "blobs", err: { message: "no such bucket" } },
    { what: "plane", err: { message: "no such plane" } },
    { what: "feed", err: { message: "it did not end in its time" } },
  ]);
});
