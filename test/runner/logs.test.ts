import { create } from "@bufbuild/protobuf";
import { expect, onTestFinished, test } from "vitest";
import { LogPositionSchema, type LogPosition } from "../../proto/gen/agyn/logs/v1/logs_service_pb.ts";
import { Logs, maximumInFlightBytes } from "../../runner/src/logs.ts";
import { temporaryDirectory } from "./world.ts";

const of = { workloadId: "wkl_aaaaaaaaaaaaaaaa", fence: 3n };
const position = (fields: Partial<LogPosition>): LogPosition =>
  create(LogPositionSchema, { ...of, ...fields } as LogPosition);

function logsOfTest(directory = temporaryDirectory()): Logs {
  const logs = new Logs({ directory });
  onTestFinished(() => logs.close());
  return logs;
}

function write(logs: Logs, lines: number): void {
  for (let line = 0; line < lines; line++) logs.append(of, "stdout", Buffer.from(`line ${line}\n`));
}

test("the end is said once every line before it is known to be there", () => {
  const logs = logsOfTest();
  logs.add(of, false);
  write(logs, 10);
  logs.end(of);

  const lines = logs.nextRequest();
  const tooEarly = logs.nextRequest();
  logs.settle([position({ nextLine: 10n })]);
  const end = logs.nextRequest();

  expect(lines?.chunks).toMatchObject([{ firstLine: 0n, count: 10n }]);
  expect(tooEarly).toBeUndefined();
  expect(end?.ends).toMatchObject([{ ...of, lineCount: 10n }]);
});

test("a log without a line has an end, too", () => {
  const logs = logsOfTest();
  logs.add(of, false);
  logs.end(of);

  expect(logs.nextRequest()?.ends).toMatchObject([{ lineCount: 0n }]);
});

test("a chunk that was let go because it overlaps what is there is sent again from there", () => {
  const logs = logsOfTest();
  logs.add(of, false);
  write(logs, 10);
  logs.nextRequest();

  logs.settle([position({ nextLine: 4n })]);

  expect(logs.nextRequest()?.chunks).toMatchObject([{ firstLine: 4n, count: 6n }]);
});

test("when everything is answered and something is missing, it is sent again", () => {
  const logs = logsOfTest();
  logs.add(of, false);
  write(logs, 5);
  logs.nextRequest();
  write(logs, 5);
  logs.nextRequest();

  logs.settle([position({ nextLine: 0n }), position({ nextLine: 0n })]);

  expect(logs.nextRequest()?.chunks).toMatchObject([{ firstLine: 0n, count: 10n }]);
});

test("a new stream goes on after what was acknowledged", () => {
  const logs = logsOfTest();
  logs.add(of, false);
  write(logs, 5);
  logs.nextRequest();
  logs.settle([position({ nextLine: 5n })]);
  write(logs, 5);
  logs.nextRequest();

  logs.restart();

  expect(logs.nextRequest()?.chunks).toMatchObject([{ firstLine: 5n, count: 5n }]);
});

test("a log that is refused is dropped, and what its job still writes is let go", () => {
  const logs = logsOfTest();
  const settled: (string | undefined)[] = [];
  logs.listen((_of, refused) => settled.push(refused));
  logs.add(of, false);
  write(logs, 5);
  logs.nextRequest();

  logs.settle([position({ refused: "STALE_FENCE", message: "not yours" })]);
  write(logs, 5);
  logs.restart();

  expect(settled).toEqual(["STALE_FENCE: not yours"]);
  expect(logs.nextRequest()).toBeUndefined();
});

test("the next process sends what this one had not heard of", () => {
  const directory = temporaryDirectory();
  const first = new Logs({ directory });
  first.add(of, false);
  write(first, 7);
  first.nextRequest();
  first.close();

  const second = logsOfTest(directory);
  second.add(of, true);

  expect(second.nextLine(of)).toBe(7);
  expect(second.nextRequest()?.chunks).toMatchObject([{ firstLine: 0n, count: 7n }]);
});

test("what is sent and not answered is bounded, and an answer makes room", () => {
  const logs = logsOfTest();
  logs.add(of, false);
  for (let index = 0; index < 200; index++) logs.append(of, "stdout", randomLine());
  let sent = 0;
  let nextLine = 0n;
  for (let request = logs.nextRequest(); request !== undefined; request = logs.nextRequest()) {
    for (const chunk of request.chunks) {
      sent += chunk.data.length;
      nextLine = chunk.firstLine + chunk.count;
    }
  }

  expect(sent).toBeGreaterThanOrEqual(maximumInFlightBytes);
  expect(sent).toBeLessThan(maximumInFlightBytes + 300 * 1024);
  logs.settle([position({ nextLine })]);
  expect(logs.nextRequest()?.chunks.length).toBeGreaterThan(0);
});

/** 60 KiB that do not compress, and a newline. */
function randomLine(): Buffer {
  const line = Buffer.from(crypto.getRandomValues(new Uint8Array(60 * 1024)));
  for (let index = line.indexOf(10); index >= 0; index = line.indexOf(10, index)) line[index] = 11;
  return Buffer.concat([line, Buffer.from("\n")]);
}
