import { chmod, mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { masterKeyOf, openMasterKey } from "../../server/src/identity/master-key.ts";

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "agyn-master-key-"));
});
afterAll(() => rm(directory, { recursive: true }));

const secret = Buffer.from("the root's key");

function opened(result: Uint8Array | { readonly error: string }): string {
  return "error" in result ? result.error : Buffer.from(result).toString();
}

test("a key that is missing is made once, for its owner only, and found again", async () => {
  const file = join(directory, "made.key");
  const first = await openMasterKey({ file, create: true });
  expect((await stat(file)).mode & 0o777).toBe(0o600);

  const second = await openMasterKey({ file, create: false });
  expect(second.id).toBe(first.id);
  expect(opened(second.open(first.seal(secret, "authority/root"), "authority/root"))).toBe("the root's key");
});

test("starts at the same time agree on one key and leave no other file", async () => {
  const file = join(directory, "together.key");
  const keys = await Promise.all(Array.from({ length: 10 }, () => openMasterKey({ file, create: true })));
  expect(new Set(keys.map(({ id }) => id)).size).toBe(1);
  expect((await readdir(directory)).filter((name) => name.startsWith("together"))).toEqual(["together.key"]);
});

test("a missing key is not made where it should be there", async () => {
  const file = join(directory, "missing.key");
  await expect(openMasterKey({ file, create: false })).rejects.toThrow(`master key ${file} does not exist`);
});

test.each([0o640, 0o604, 0o660])("a key with mode %o is refused", async (mode) => {
  const file = join(directory, `mode-${mode}.key`);
  await openMasterKey({ file, create: true });
  await chmod(file, mode);
  await expect(openMasterKey({ file, create: true })).rejects.toThrow(/can be read by others: chmod 600/);
});

test.each(["", "agyn_mk_", "x".repeat(60), `agyn_mk_${"a".repeat(58)}`])(
  "a file that says %j is damaged",
  async (text) => {
    const file = join(directory, `damaged-${text.length}.key`);
    await writeFile(file, text, { mode: 0o600 });
    await expect(openMasterKey({ file, create: true })).rejects.toThrow(/is damaged/);
  },
);

test("a sealed value opens for its own context only", () => {
  const key = masterKeyOf(Buffer.alloc(32, 1));
  const sealed = key.seal(secret, "workload/wkl_a/environment");
  expect(opened(key.open(sealed, "workload/wkl_b/environment"))).toMatch(/was changed, or is not for workload\/wkl_b/);
});

test("a value sealed under another key says which", () => {
  const [one, two] = [masterKeyOf(Buffer.alloc(32, 1)), masterKeyOf(Buffer.alloc(32, 2))];
  expect(opened(two.open(one.seal(secret, "x"), "x"))).toBe(`sealed under master key ${one.id}, but this is ${two.id}`);
});

test("no changed or missing byte of a sealed value goes unnoticed", () => {
  const key = masterKeyOf(Buffer.alloc(32, 1));
  const sealed = key.seal(secret, "x");
  for (let index = 0; index < sealed.length; index++) {
    const changed = Uint8Array.from(sealed, (byte, at) => (at === index ? byte ^ 1 : byte));
    expect(key.open(changed, "x")).toHaveProperty("error");
    expect(key.open(sealed.subarray(0, index), "x")).toHaveProperty("error");
  }
});

test("the same value sealed twice looks different", () => {
  const key = masterKeyOf(Buffer.alloc(32, 1));
  expect(key.seal(secret, "x")).not.toEqual(key.seal(secret, "x"));
});
