import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { TunnelsService, type CopyFromResponseSchema } from "../../proto/gen/agyn/tunnels/v1/tunnels_service_pb.ts";
import { startServer } from "./support/server.ts";
import { run } from "./support/terminal.ts";

type Entry = { name: string; type?: string; text?: string; sizeBytes?: number; prefix?: string };

/** A header and its content, whatever it says. */
function entry({ name, type = "0", text = "", sizeBytes = Buffer.byteLength(text), prefix = "" }: Entry): Buffer {
  const header = Buffer.alloc(512);
  header.write(name, 0, 100);
  header.write("0000644\0", 100);
  header.write(`${sizeBytes.toString(8).padStart(11, "0")}\0`, 124);
  header.write(type, 156);
  header.write("/etc/passwd", 157);
  header.write("ustar\u000000", 257);
  header.write(prefix, 345);
  header.write("        ", 148);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  const content = Buffer.alloc(Math.ceil(text.length / 512) * 512);
  content.write(text);
  return Buffer.concat([header, content]);
}

const tar = (...entries: Entry[]): Buffer => Buffer.concat([...entries.map(entry), Buffer.alloc(1024)]);

type Answer = MessageInitShape<typeof CopyFromResponseSchema>;
type Sent = { archive: Buffer; isFolder?: boolean; sha256?: string; isCut?: boolean };

/** What `agynctl cp` makes of an archive, and the directory in which it was to put it. */
async function copy({ archive, isFolder = true, sha256, isCut = false }: Sent, prepare = (_directory: string) => {}) {
  const parent = mkdtempSync(join(tmpdir(), "agyn-hostile-"));
  onTestFinished(() => rmSync(parent, { recursive: true, force: true }));
  const directory = join(parent, "here");
  mkdirSync(directory);
  prepare(directory);
  await using server = await startServer((router) =>
    router.rpc(TunnelsService.method.copyFrom, async function* (): AsyncGenerator<Answer> {
      yield { output: { kind: { case: "started", value: { directory: isFolder } } } };
      yield { output: { kind: { case: "data", value: archive } } };
      if (isCut) return;
      const digest = sha256 ?? createHash("sha256").update(archive).digest("hex");
      yield { output: { kind: { case: "end", value: { sha256: digest } } } };
      yield { output: { kind: { case: "result", value: {} } } };
    }),
  );
  const environment = { AGYN_GATEWAY: server.gateway, AGYN_TOKEN: "agyn_pat_x" };
  const ran = await run(["cp", "wkl:out", "copied"], { environment, cwd: directory });
  return { ...ran, parent, directory, beside: readdirSync(parent) };
}

test.each([
  ["up", { name: "../../escaped" }, 'it has the part ".."'],
  ["up in the middle", { name: "a/../../escaped" }, 'it has the part ".."'],
  ["up by its prefix", { name: "escaped", prefix: ".." }, 'it has the part ".."'],
  ["to an absolute path", { name: "/tmp/agyn-escaped" }, "it is absolute"],
  ["up by a long name", { name: "long", type: "L", text: "../escaped\0" }, 'it has the part ".."'],
])(
  "bad-43, bad-51: a name of an archive that leads %s is refused, and nothing is put there",
  async (_how, hostile, why) => {
    const { exitCode, stderr, beside } = await copy({ archive: tar(hostile, { name: "x", text: "y" }) });
    expect({ exitCode, stderr, beside }).toEqual({
      exitCode: 1,
      stderr: expect.stringContaining(why),
      beside: ["here"],
    });
    expect(existsSync("/tmp/agyn-escaped")).toBe(false);
  },
);

test("bad-43: links, devices and pipes are left out and told; a file behind a link lands in a folder of ours", async () => {
  const kinds = ["1", "2", "3", "4", "6"].map((type) => ({ name: `of-kind-${type}`, type }));
  const archive = tar(...kinds, { name: "of-kind-2/passwd", text: "ours" }, { name: "plain", text: "kept" });
  const { exitCode, stderr, directory } = await copy({ archive });
  expect(exitCode).toBe(0);
  expect(stderr.match(/left out: of-kind-\d is /g)).toHaveLength(5);
  expect(readdirSync(join(directory, "copied")).toSorted()).toEqual(["of-kind-2", "plain"]);
  expect(readFileSync(join(directory, "copied/of-kind-2/passwd"), "utf8")).toBe("ours");
});

test("of very many that are left out the first are told by name, the others counted", async () => {
  const links = Array.from({ length: 120 }, (_, index) => ({ name: `link-${index}`, type: "2" }));
  const { exitCode, stderr } = await copy({ archive: tar(...links) });
  expect(exitCode).toBe(0);
  expect(stderr.match(/left out: link-/g)).toHaveLength(100);
  expect(stderr).toContain("left out: 20 more");
});

test("bad-43: nothing is written through a link that is here", async () => {
  const prepare = (directory: string): void => {
    mkdirSync(join(directory, "copied/out"), { recursive: true });
    mkdirSync(join(directory, "elsewhere"));
    symlinkSync("../../elsewhere", join(directory, "copied/out/folder"));
    symlinkSync("../../elsewhere/victim", join(directory, "copied/out/file"));
    writeFileSync(join(directory, "elsewhere/victim"), "untouched");
  };
  const replaced = await copy({ archive: tar({ name: "file", text: "new" }) }, prepare);
  expect(readFileSync(join(replaced.directory, "elsewhere/victim"), "utf8")).toBe("untouched");
  expect(readFileSync(join(replaced.directory, "copied/out/file"), "utf8")).toBe("new");
  const refused = await copy({ archive: tar({ name: "folder/planted", text: "x" }) }, prepare);
  expect(refused).toMatchObject({ exitCode: 1, stderr: expect.stringContaining("no folder") });
  expect(readdirSync(join(refused.directory, "elsewhere"))).toEqual(["victim"]);
});

test("bad-43: two names that are one on some file systems are refused", async () => {
  const twins = [{ name: "Readme" }, { name: "README" }];
  expect(await copy({ archive: tar(...twins) })).toMatchObject({
    exitCode: 1,
    stderr: expect.stringContaining("README"),
  });
});

test("bad-44: what is cut short, has another digest, or is more than was asked for, is no success", async () => {
  const good = tar({ name: "file", text: "content" });
  const cases: [Sent, string][] = [
    [{ archive: good, isCut: true }, "the copy ended early"],
    [{ archive: good, sha256: "0".repeat(64) }, "its SHA-256 differs"],
    [{ archive: good.subarray(0, 600) }, "the archive ends in the middle"],
    [{ archive: tar({ name: "a" }, { name: "b" }), isFolder: false }, "more came than the one file"],
    [
      { archive: tar({ name: "huge", sizeBytes: 8 ** 11 - 1 }, { name: "more", sizeBytes: 8 ** 11 - 1 }) },
      "the archive ends",
    ],
  ];
  for (const [sent, why] of cases) {
    expect(await copy(sent)).toMatchObject({ exitCode: 1, stderr: expect.stringContaining(why) });
  }
});

test("bad-51: names with control characters do not reach the terminal", async () => {
  const { stderr, exitCode } = await copy({ archive: tar({ name: "\u001b]52;c;x\u0007\u001b[2J", type: "2" }) });
  expect(exitCode).toBe(0);
  expect(stderr).toContain("left out");
  // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
  expect(stderr).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f]/);
});
