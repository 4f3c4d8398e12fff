import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { type AddressInfo, type Socket, createServer } from "node:net";
import { join } from "node:path";
import { expect, test } from "vitest";

import type { GitSource } from "../../runner/src/executors/executor.ts";
import { refFault, urlFault } from "../../runner/src/executors/git-source.ts";
import { type World, openWorld, run, until } from "./support/world.ts";

/** A bare repository with three commits: `first` (tag v1), `second` (branch side), `third` (branch main). */
function makeRepository(world: World) {
  const work = join(world.directory, "work");
  const bare = join(world.directory, "repository.git");
  const git = (...args: string[]): string => {
    const who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com", "-c", "init.defaultBranch=main"];
    return execFileSync("git", [...who, "-C", work, ...args], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    }).trim();
  };
  const commit = (name: string): string => {
    writeFileSync(join(work, "name"), name);
    git("add", "name");
    git("commit", "-m", name);
    return git("rev-parse", "HEAD");
  };
  mkdirSync(work);
  git("init");
  const first = commit("first");
  git("tag", "-a", "v1", "-m", "v1");
  git("checkout", "-b", "side");
  commit("second");
  git("checkout", "main");
  commit("third");
  git("clone", "--bare", work, bare);
  execFileSync("chmod", ["-R", "go+rX", bare]);
  return { url: `file://${bare}`, first };
}

test("a source is there at a branch, a tag, a commit and a short commit, nothing else beside it", async () => {
  await using world = await openWorld();
  const { url, first } = makeRepository(world);
  const expected = { main: "third", side: "second", v1: "first", [first]: "first", [first.slice(0, 10)]: "first" };
  for (const [ref, name] of Object.entries(expected)) {
    const { log, result } = await run(world, ["sh", "-c", "cat name; ls; git status --short"], {
      source: { kind: "git", url, ref },
    });
    expect({ ref, ...result }).toMatchObject({ ref, exitCode: 0 });
    expect(log.stdout()).toBe(`${name}name\n`);
    expect(log.system()).toContain("checked out");
  }
});

test("a ref that is not there is a failed start that names it", async () => {
  await using world = await openWorld();
  const { url } = makeRepository(world);
  const { result } = await run(world, ["true"], { source: { kind: "git", url, ref: "nowhere" } });
  expect(result.outcome).toBe("start_failed");
  expect(result.message).toContain('no branch, tag or commit "nowhere"');
});

test("bad-32: refs that could be options or expressions never reach git", async () => {
  await using world = await openWorld();
  const { url } = makeRepository(world);
  const long = "x".repeat(4096);
  const hostile = [
    "--upload-pack=touch x",
    "-upload-pack=x",
    "--",
    "../x",
    "a..b",
    "a\nb",
    "a\u202eb",
    "a b",
    "@{-1}",
    "a:b",
    "",
    long,
  ];
  for (const ref of hostile) {
    const { result } = await run(world, ["true"], { source: { kind: "git", url, ref } });
    expect({ ref, ...result }).toMatchObject({ ref, outcome: "start_failed" });
    expect(result.message).toMatch(/^git ref /);
  }
});

test("bad-32: a branch named like a shell command is only a name", async () => {
  await using world = await openWorld();
  const { url } = makeRepository(world);
  const bare = url.slice("file://".length);
  for (const ref of ["$(id)", "`id`", ";id", "a'b"]) {
    execFileSync("git", ["-C", bare, "branch", "--", ref, "main"]);
    const { log, result } = await run(world, ["cat", "name"], { source: { kind: "git", url, ref } });
    expect({ ref, ...result }).toMatchObject({ ref, exitCode: 0 });
    expect(log.stdout()).toBe("third");
  }
});

test("bad-32: urls of other protocols, with options or with control characters are refused", () => {
  const hostile = [
    "ext::sh -c id",
    "ext::sh",
    "--upload-pack=id",
    "/etc",
    "../x",
    "ssh://-oProxyCommand=id/x",
    "-oProxyCommand=id@host:x",
    "git@-oProxyCommand=id:x",
    "https://host/a\nb",
    "ftp://host/x",
    "fd::17",
    "",
  ];
  expect(hostile.filter((url) => !urlFault(url)?.startsWith("git url "))).toEqual([]);
  const fine = [
    "https://host/a.git",
    "http://127.0.0.1:80/a",
    "ssh://git@host:22/a",
    "git@host:a/b.git",
    "git://h/a",
    "file:///a b".replace(" ", "%20"),
  ];
  expect(fine.filter((url) => urlFault(url) !== undefined)).toEqual([]);
  const names = ["main", "release/1.0", "v1.0.0-rc+1", "0123abcd", "héllo"];
  expect(names.filter((ref) => refFault(ref) !== undefined)).toEqual([]);
});

test("a url's password appears in no message", async () => {
  await using world = await openWorld();
  const source: GitSource = { kind: "git", url: "http://ada:hunter2@127.0.0.1:1/x.git", ref: "main" };
  const { log, result } = await run(world, ["true"], { source });
  expect(result.outcome).toBe("start_failed");
  expect(log.system() + result.message).not.toContain("hunter2");
});

test("a fetch that hangs is ended by a stop, and git is gone", async () => {
  await using world = await openWorld();
  const silent = createServer((socket) => socket.on("error", () => undefined)).listen(0, "127.0.0.1");
  await once(silent, "listening");
  const url = `http://127.0.0.1:${(silent.address() as AddressInfo).port}/x.git`;
  const connected = once(silent, "connection");
  const { execution, log } = await world.start(["true"], { source: { kind: "git", url, ref: "main" } });
  const [socket] = (await connected) as [Socket];
  const cut = once(socket.resume(), "close");
  execution.stop({ graceMs: 1000, reason: "changed our mind" });
  expect(await execution.result).toMatchObject({ outcome: "stopped", message: "changed our mind" });
  await cut;
  silent.close();
  await until("the log tells of the fetch", () => log.system().startsWith("fetching http://127.0.0.1"));
});
