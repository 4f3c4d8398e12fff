import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";

type Entry = { version?: string; os?: string[]; cpu?: string[]; libc?: string[] };

const root = join(import.meta.dirname, "../..");

test("every native package for x64 has its like for arm64, in the same version", async () => {
  const text = await readFile(join(root, "package-lock.json"), "utf8");
  const { packages } = JSON.parse(text) as { packages: Record<string, Entry> };
  const native = Object.entries(packages).filter(
    ([, { os, cpu, libc }]) =>
      os?.includes("linux") && cpu?.includes("x64") && (libc === undefined || libc.includes("glibc")),
  );
  const likeOf = (path: string) =>
    ["arm64", "aarch64"].map((name) => packages[path.replace("x64", name)]).find((one) => one !== undefined);

  expect(native.length).toBeGreaterThan(5);
  for (const [path, { version }] of native) expect([path, likeOf(path)?.version]).toEqual([path, version]);
});
