import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { zstdCompressSync } from "node:zlib";
import { ConnectError } from "@connectrpc/connect";
import { expect, onTestFinished, test } from "vitest";
import { uploadBundle } from "../../cli/src/upload-bundle.ts";
import { packTar } from "../../wire/tar.ts";
import { createWorld } from "../support/world.ts";
import { jobsOf, runStateName, untilRunEnded } from "../support/runs.ts";

/** A machine that is busy with other tests must not make its runner look away. */
const patient = { heartbeat: "500ms", lease: "20s" };

async function directoryOf(files: Record<string, string>): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "agyn-bundle-"));
  onTestFinished(() => rm(directory, { recursive: true }));
  for (const [path, text] of Object.entries(files)) {
    await mkdir(join(directory, path, ".."), { recursive: true });
    await writeFile(join(directory, path), text);
  }
  return directory;
}

test("a directory is run as it is: its pipeline is read out of the bundle, and each job starts with its files", async () => {
  await using world = await createWorld(patient);
  world.startRunner(await world.register("build-1"));
  const pipeline = "jobs:\n  test: { run: test ! -e ignored && test ! -e link && cat src/hello.txt }\n";
  const directory = await directoryOf({
    "ci/build.yaml": pipeline,
    "src/hello.txt": "hello\n",
    ignored: "secret",
    ".gitignore": "ignored\n",
  });
  await symlink("/etc/passwd", join(directory, "link"));
  execFileSync("git", ["init", "--quiet", directory]);

  const bundle = await uploadBundle(world.admin, directory);
  const again = await uploadBundle(world.admin, directory);
  const { run } = await world.admin.runs.startRun({ pipeline: "ci/build.yaml", bundleDigest: bundle.sha256 });
  const ended = await untilRunEnded(world.admin, run!.id);

  expect((await jobsOf(world.admin, run!.id))["test"]!.message).toBe("");
  expect(runStateName(ended)).toBe("SUCCEEDED");
  expect(bundle).toMatchObject({ files: 3, skipped: ["link is a link, or no plain file"] });
  expect(again.sha256).toBe(bundle.sha256);
});

test("bad-45: an upload that goes on with another body is refused by its digest, and begins anew", async () => {
  await using world = await createWorld(patient);
  const body = Buffer.alloc(100_000, 1);
  const sha256 = createHash("sha256").update(body).digest("hex");
  const { artifacts } = world.admin;
  const { uploadId } = await artifacts.createUpload({ sha256 });
  const write = (offset: number, data: Uint8Array) =>
    artifacts.writeUpload({ uploadId, offset: BigInt(offset), data }).then((one) => Number(one.receivedBytes));

  expect(await write(0, body.subarray(0, 60_000))).toBe(60_000);
  expect(await write(0, Buffer.alloc(10, 2))).toBe(60_000);
  expect(await write(70_000, body.subarray(70_000))).toBe(60_000);
  expect(await write(60_000, Buffer.alloc(40_000, 2))).toBe(100_000);
  await expect(artifacts.finishUpload({ uploadId, sha256 })).rejects.toThrow("do not have the SHA-256");
  expect(await write(100_000, body.subarray(0, 1))).toBe(0);
  expect(await write(0, body)).toBe(100_000);
  expect(await artifacts.finishUpload({ uploadId, sha256 })).toMatchObject({ sizeBytes: 100_000n });
  expect(await artifacts.createUpload({ sha256 })).toMatchObject({ complete: true });
});

test("an upload in very many small parts is refused, and one in large parts goes on", async () => {
  await using world = await createWorld(patient);
  const { artifacts } = world.admin;
  const { uploadId } = await artifacts.createUpload({ sha256: "0".repeat(64) });
  const write = (offset: number, size: number) =>
    artifacts.writeUpload({ uploadId, offset: BigInt(offset), data: Buffer.alloc(size) });
  for (let offset = 0; offset < 64; offset += 1) await write(offset, 1);
  await expect(write(64, 1)).rejects.toThrow("64 parts below 65536 bytes already: send larger ones");
  expect(await write(64, 65_536)).toMatchObject({ receivedBytes: 65_600n });
});

test("bad-44: a bundle that explodes, is cut short or is no archive is refused when it is read", async () => {
  await using world = await createWorld(patient);
  const { artifacts, runs } = world.admin;
  const refusalOf = async (bundle: Buffer) => {
    const sha256 = createHash("sha256").update(bundle).digest("hex");
    const { uploadId } = await artifacts.createUpload({ sha256 });
    await artifacts.writeUpload({ uploadId, offset: 0n, data: bundle });
    await artifacts.finishUpload({ uploadId, sha256 });
    return runs.startRun({ pipeline: "a.yaml", bundleDigest: sha256 }).then(
      () => "",
      (error: unknown) => ConnectError.from(error).rawMessage,
    );
  };
  const archive = await tarOf({ "other.yaml": "x".repeat(2000) });
  const emptyFile = (await tarOf({ "other.yaml": "" })).subarray(0, 512);

  const many = Buffer.alloc(emptyFile.length * 100_001, emptyFile);
  expect(await refusalOf(zstdCompressSync(many))).toContain("the archive has more than 100000 entries");
  expect(await refusalOf(zstdCompressSync(archive.subarray(0, 1000)))).toContain("the archive ends in the middle");
  expect(await refusalOf(zstdCompressSync(archive).subarray(0, -9))).toContain("the bundle cannot be read");
  expect(await refusalOf(Buffer.from("not packed at all"))).toContain("the bundle cannot be read");
  expect(await refusalOf(zstdCompressSync(archive))).toContain('the bundle has no file "a.yaml"');
});

async function tarOf(files: Record<string, string>): Promise<Buffer> {
  const packed = packTar(
    Object.entries(files).map(([path, text]) => ({
      path,
      isExecutable: false,
      sizeBytes: text.length,
      content: () => Readable.from([Buffer.from(text)]),
    })),
  );
  return Buffer.concat(await Readable.from(packed).toArray());
}
