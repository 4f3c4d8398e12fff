import { mkdir, mkdtemp, readFile, rm, stat, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { zstdCompressSync } from "node:zlib";
import { describe, expect, onTestFinished, test } from "vitest";
import { putFile, unpack } from "../../runner/src/executors/unpack.ts";
import { packTar, type TarFile } from "../../wire/tar.ts";

async function openWorkspace(): Promise<string> {
  const workspace = await mkdtemp(join(tmpdir(), "agyn-unpack-"));
  onTestFinished(() => rm(workspace, { recursive: true }));
  return workspace;
}

async function* pieces(...bytes: Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* bytes;
}

const file = (path: string, text = path): TarFile => {
  const content = Buffer.from(text);
  return { path, isExecutable: false, sizeBytes: content.length, content: () => pieces(content) };
};

async function tar(...files: TarFile[]): Promise<Buffer> {
  const packedPieces: Uint8Array[] = [];
  for await (const piece of packTar(files)) packedPieces.push(piece);
  return Buffer.concat(packedPieces);
}

/** The archive with one header changed, its checksum made right again. */
function forge(archive: Buffer, change: (header: Buffer) => void): Buffer {
  const forged = Buffer.from(archive);
  change(forged.subarray(0, 512));
  forged.write("        ", 148);
  const sum = forged.subarray(0, 512).reduce((total, byte) => total + byte, 0);
  forged.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return forged;
}

const packed = (archive: Buffer) => pieces(zstdCompressSync(archive));

test("an archive comes out as it went in: long names, letters of any script, empty files", async () => {
  const workspace = await openWorkspace();
  const long = `${"folder/".repeat(30)}ü ${"x".repeat(150)}`;
  const archive = await tar(file("a.txt"), file(long), file("empty", ""));
  const count = await unpack({ workspace, uid: undefined }, "dist", packed(archive));
  expect(count).toBe(3);
  expect(await readFile(join(workspace, "dist", long), "utf8")).toBe(long);
  expect((await stat(join(workspace, "dist/empty"))).size).toBe(0);
});

describe("bad-43: entries that are no plain files are refused", () => {
  test.each([
    ["1", "a hard link"],
    ["2", "a symbolic link"],
    ["3", "a device or pipe"],
    ["6", "a device or pipe"],
    ["Z", 'of the unknown kind "Z"'],
  ])("of the type %s", async (type, what) => {
    const workspace = await openWorkspace();
    const archive = forge(await tar(file("x")), (header) => {
      header.write(type, 156);
      header.write("/etc/passwd", 157);
    });
    await expect(unpack({ workspace, uid: undefined }, "", packed(archive))).rejects.toThrow(`entry "x" is ${what}`);
  });

  test.each(["../x", "/etc/x", "a/../../x"])("named %s", async (path) => {
    const workspace = await openWorkspace();
    const archive = forge(await tar(file("x".repeat(path.length))), (header) => void header.write(path, 0));
    await expect(unpack({ workspace, uid: undefined }, "", packed(archive))).rejects.toThrow("entry");
  });

  test("nothing is written through a link that a repository brought", async () => {
    const workspace = await openWorkspace();
    const outside = await openWorkspace();
    await symlink(outside, join(workspace, "dist"));
    await symlink(join(outside, "y"), join(workspace, "y"));
    const files = { workspace, uid: undefined };
    await expect(unpack(files, "dist", packed(await tar(file("x"))))).rejects.toThrow(
      "dist is there already, and no folder",
    );
    await putFile(files, "y", pieces(Buffer.from("inside")));
    await expect(stat(join(outside, "x"))).rejects.toThrow("ENOENT");
    await expect(stat(join(outside, "y"))).rejects.toThrow("ENOENT");
    expect(await readFile(join(workspace, "y"), "utf8")).toBe("inside");
  });
});

describe("bad-44: archives that explode or lie are refused", () => {
  const bounds = { entries: 100, bytes: 1024 * 1024 };

  test("a small archive of many bytes", async () => {
    const workspace = await openWorkspace();
    const bomb = zstdCompressSync(await tar(file("zeros", "\0".repeat(2 * 1024 * 1024))));
    expect(bomb.length).toBeLessThan(4096);
    const unpacking = unpack({ workspace, uid: undefined }, "", pieces(bomb), bounds);
    await expect(unpacking).rejects.toThrow("the archive holds more than 1048576 bytes");
  });

  test("very many entries", async () => {
    const workspace = await openWorkspace();
    const archive = await tar(...Array.from({ length: 101 }, (_, index) => file(`f${index}`, "")));
    const unpacking = unpack({ workspace, uid: undefined }, "", packed(archive), bounds);
    await expect(unpacking).rejects.toThrow("the archive has more than 100 entries");
  });

  test("a size that lies", async () => {
    const workspace = await openWorkspace();
    const archive = forge(await tar(file("x", "abc")), (header) => void header.write("00000777777\0", 124));
    await expect(unpack({ workspace, uid: undefined }, "", packed(archive), bounds)).rejects.toThrow(
      "ends in the middle",
    );
  });

  test("bytes without end after the archive's end", async () => {
    const workspace = await openWorkspace();
    const archive = Buffer.concat([await tar(file("x")), Buffer.alloc(4 * 1024 * 1024)]);
    const unpacking = unpack({ workspace, uid: undefined }, "", packed(archive), bounds);
    await expect(unpacking).rejects.toThrow("follow the archive");
  });

  test("what is no archive, and one that is cut off", async () => {
    const workspace = await openWorkspace();
    const files = { workspace, uid: undefined };
    await expect(unpack(files, "", packed(Buffer.alloc(512, 65)), bounds)).rejects.toThrow(
      "a header holds a number that is none",
    );
    await expect(unpack(files, "", pieces(Buffer.from("PK")), bounds)).rejects.toThrow();
    const cut = zstdCompressSync(await tar(file("x", "y".repeat(4000)))).subarray(0, 30);
    await expect(unpack(files, "", pieces(cut), bounds)).rejects.toThrow();
  });

  test("bytes whose digest turns out wrong at the end", async () => {
    const workspace = await openWorkspace();
    await mkdir(join(workspace, "a"));
    async function* wrong(): AsyncGenerator<Uint8Array> {
      yield zstdCompressSync(await tar(file("x")));
      throw new Error("what arrived does not have the SHA-256");
    }
    await expect(unpack({ workspace, uid: undefined }, "", wrong(), bounds)).rejects.toThrow("SHA-256");
  });
});
