import { execFileSync } from "node:child_process";
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
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { ArtifactsService, ArtifactState } from "../../proto/gen/agyn/artifacts/v1/artifacts_service_pb.ts";
import { startRun, untilRunEnded } from "../support/runs.ts";
import { createWorld, until, type World } from "../support/world.ts";
import { startServer } from "./support/server.ts";
import { run, type Ran } from "./support/terminal.ts";

let world: World;
let number: string;
let directory: string;

beforeAll(async () => {
  world = await createWorld({ lease: "20s" });
  world.startRunner(await world.register("builder"));
  const text = `
jobs:
  build:
    run: printf 0123456789 >report.txt && mkdir out && echo app >out/app
    artifacts: { upload: [{ name: report.txt, paths: report.txt }, { name: dist, paths: out }] }
`;
  const started = await startRun(world.admin, text);
  await untilRunEnded(world.admin, started.id);
  number = String(started.number);
  await until("both are complete", async () => {
    const { artifacts } = await world.admin.artifacts.listArtifacts({ states: [ArtifactState.COMPLETE] });
    return artifacts.length === 2;
  });
});
afterAll(() => world[Symbol.asyncDispose]());
beforeEach(() => void (directory = mkdtempSync(join(tmpdir(), "agyn-cli-artifacts-"))));
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function agynctl(...argv: readonly string[]): Promise<Ran> {
  const environment = { AGYN_GATEWAY: world.server.gateway, AGYN_TOKEN: world.adminToken, NO_COLOR: "1" };
  return run(argv, { environment, cwd: directory });
}

test("what jobs kept is listed by run and by name, and shown", async () => {
  const listed = await agynctl("artifacts", "list", "--run", number);
  const named = await agynctl("artifacts", "list", "--name", "REPORT", "-o", "json");
  const shown = await agynctl("artifacts", "get", `${number}/report.txt`);

  expect(listed.stdout).toMatch(/^ID +RUN +JOB +FILE +SIZE +STATE/);
  expect(listed.stdout).toMatch(/build +dist\.tar\.zst .*complete/);
  expect(JSON.parse(named.stdout)).toMatchObject([{ name: "report.txt", sizeBytes: "10" }]);
  expect(shown.stdout).toMatch(/size: +10 B/);
});

test("a download is a file of its name, is not written over without --force, and goes where --file says", async () => {
  const first = await agynctl("artifacts", "download", `${number}/report.txt`);
  writeFileSync(join(directory, "report.txt"), "mine");
  const again = await agynctl("artifacts", "download", `${number}/report.txt`);
  const elsewhere = await agynctl("artifacts", "download", `${number}/report.txt`, "--file", "other.txt");

  const sha256 = createHash("sha256").update("0123456789").digest("hex");
  expect(first).toMatchObject({ exitCode: 0, stdout: expect.stringContaining(`SHA-256 ${sha256}`) });
  expect(again.stderr).toContain("report.txt is there already (overwrite it with --force)");
  expect(readFileSync(join(directory, "report.txt"), "utf8")).toBe("mine");
  expect([elsewhere.exitCode, readFileSync(join(directory, "other.txt"), "utf8")]).toEqual([0, "0123456789"]);
  expect((await agynctl("artifacts", "download", `${number}/report.txt`, "--force")).exitCode).toBe(0);
  expect(readFileSync(join(directory, "report.txt"), "utf8")).toBe("0123456789");
});

test.each([
  [["--file", ".", "--force"], /^error: .* is a directory \(name the file in it\)\n$/],
  [["--file", "no/where"], /^error: .*no\/where cannot be written: ENOENT\n$/],
])("a download with %j writes nothing, and says why", async (words, told) => {
  const { exitCode, stderr } = await agynctl("artifacts", "download", `${number}/report.txt`, ...words);

  expect({ exitCode, stderr }).toEqual({ exitCode: 2, stderr: expect.stringMatching(told) });
});

test("the checksums of a run are what sha256sum checks, also over a directory that was packed", async () => {
  for (const name of ["report.txt", "dist"]) await agynctl("artifacts", "download", `${number}/${name}`);
  const { stdout } = await agynctl("artifacts", "checksums", number);
  writeFileSync(join(directory, "sums"), stdout);

  const checked = execFileSync("sha256sum", ["--check", "sums"], { cwd: directory, encoding: "utf8" });

  expect(checked.split("\n").toSorted()).toEqual(["", "dist.tar.zst: OK", "report.txt: OK"]);
});

test("an artifact that was deleted is gone", async () => {
  const started = await startRun(
    world.admin,
    "jobs: { a: { run: 'echo x >x', artifacts: { upload: [{ name: x, paths: x }] } } }",
  );
  await untilRunEnded(world.admin, started.id);
  const reference = `${started.number}/x`;
  await until("it is complete", async () => (await agynctl("artifacts", "get", reference)).stdout.includes("complete"));

  expect(await agynctl("artifacts", "delete", reference, "--yes")).toMatchObject({
    exitCode: 0,
    stdout: expect.stringMatching(/^deleted artifact x \(art_\w+\)\n$/),
  });
  expect((await agynctl("artifacts", "get", reference)).stderr).toContain("there is no artifact");
});

test("a directory is run with its files: what git ignores stays here, links are named and left out", async () => {
  mkdirSync(join(directory, "web/ci"), { recursive: true });
  const pipeline = "jobs: { test: { run: 'cat greeting; test ! -e secret && test ! -e link' } }";
  const files = { "ci/test.yaml": pipeline, greeting: "from here\n", secret: "s", ".gitignore": "secret\n" };
  for (const [path, text] of Object.entries(files)) writeFileSync(join(directory, "web", path), text);
  symlinkSync("/etc/passwd", join(directory, "web/link"));
  writeFileSync(Buffer.concat([Buffer.from(join(directory, "web/odd")), Buffer.from([0xff])]), "");
  execFileSync("git", ["init", "--quiet", join(directory, "web")]);

  const ran = await agynctl("run", "./web", "ci/test.yaml", "--follow");

  expect(ran.exitCode).toBe(0);
  expect(ran.stdout).toContain("from here");
  expect(ran.stderr).toContain("link is a link, or no plain file: the run does not have it");
  expect(ran.stderr).toContain("odd\uFFFD has a name that is not UTF-8: the run does not have it");
});

test("a pipeline that the directory does not hold is named, and nothing else is asked for", async () => {
  mkdirSync(join(directory, "holds-none"));
  writeFileSync(join(directory, "holds-none/greeting"), "hello");

  const { exitCode, stderr } = await agynctl("run", "./holds-none", "ci.yaml");

  expect({ exitCode, stderr }).toEqual({ exitCode: 1, stderr: 'error: the bundle has no file "ci.yaml"\n' });
});

test("of many files that a run does not have, ten are named and the others counted", async () => {
  mkdirSync(join(directory, "links"));
  writeFileSync(join(directory, "links/ci.yaml"), "jobs: { test: { run: 'true' } }");
  for (let link = 10; link < 25; link += 1) symlinkSync("/etc/passwd", join(directory, `links/link-${link}`));

  const ran = await agynctl("run", "./links", "ci.yaml");

  expect(ran.stderr).toContain("link-19 is a link");
  expect(ran.stderr).not.toContain("link-20");
  expect(ran.stderr).toContain("nor 5 more");
});

describe("bad-51: a hostile server writes no file but the one that was asked for", () => {
  const content = Buffer.from("content");
  const sha256 = createHash("sha256").update(content).digest("hex");

  async function download(artifact: { fileName: string; sha256?: string; sizeBytes?: bigint }, ...more: string[]) {
    await using server = await startServer((router) => {
      router.service(ArtifactsService, {
        getArtifact: () => ({ artifact: { id: "art_x", sha256, sizeBytes: BigInt(content.length), ...artifact } }),
        async *downloadArtifact() {
          yield { data: content };
        },
      });
    });
    mkdirSync(join(directory, "here"));
    const argv = ["--gateway", server.gateway, "artifacts", "download", "x", ...more];
    return await run(argv, { cwd: join(directory, "here") });
  }
  const written = (): string[] => readdirSync(directory, { recursive: true, encoding: "utf8" }).toSorted();

  test.each([
    "../escaped",
    "/tmp/agyn-escaped",
    "..",
    ".",
    "",
    "a/b",
    "a\\b",
    "C:x",
    "a\u001b[2J",
    "a\u202etxt",
    "CON",
  ])("the file name %j is refused", async (fileName) => {
    const { exitCode, stderr } = await download({ fileName });

    expect(exitCode).not.toBe(0);
    expect(stderr).toMatch(/^error: the artifact's name .* is none for a file: .*\(choose one with --file\)\n$/);
    expect(stderr).not.toContain("\u001b[2J");
    expect(written()).toEqual(["here"]);
    expect(existsSync("/tmp/agyn-escaped")).toBe(false);
  });

  test.each([
    ["another digest", { sha256: "ab".repeat(32) }, "does not have the SHA-256"],
    ["fewer bytes than it said", { sizeBytes: 99n }, "7 bytes came instead of 99"],
    ["more bytes than it said", { sizeBytes: 3n }, "7 bytes came instead of 3"],
  ])("content of %s leaves no file", async (_what, artifact, message) => {
    const { exitCode, stderr } = await download({ fileName: "a.txt", ...artifact });

    expect(exitCode).not.toBe(0);
    expect(stderr).toContain(message);
    expect(written()).toEqual(["here"]);
  });

  test("with --file, its name counts for nothing", async () => {
    expect(await download({ fileName: "../escaped" }, "--file", "mine")).toMatchObject({ exitCode: 0 });
    expect(written()).toEqual(["here", "here/mine"]);
  });
});
