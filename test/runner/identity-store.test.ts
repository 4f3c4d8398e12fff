import { chmodSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ensurePendingKey } from "../../runner/src/identity-keys.ts";
import { createIdentityMemory, openIdentityDirectory } from "../../runner/src/identity-store.ts";
import { temporaryDirectory } from "./world.ts";

const runnerId = "rnr_aaaaaaaaaaaaaaaa";

test("what is saved is there for the next process, readable by its owner only", () => {
  const directory = join(temporaryDirectory(), "identity");
  const pendingKey = ensurePendingKey(openIdentityDirectory(directory), runnerId);
  openIdentityDirectory(directory).saveSessionNumber(41n);

  const later = openIdentityDirectory(directory);

  expect(later.load()).toEqual({ version: 1, runnerId, pendingKey });
  expect(later.loadSessionNumber()).toBe(41n);
  expect(statSync(directory).mode & 0o777).toBe(0o700);
  for (const name of readdirSync(directory)) expect(statSync(join(directory, name)).mode & 0o777).toBe(0o600);
});

test("what a network issued is kept likewise, one that is broken is none, and it goes with the identity", () => {
  const directory = join(temporaryDirectory(), "identity");
  const credential = { identityId: "idn_a", controllerUrl: "https://ctrl:1280", keyPem: "key", certPem: "certificate" };
  const store = openIdentityDirectory(directory);
  store.saveNetworkCredential(credential);

  expect(openIdentityDirectory(directory).loadNetworkCredential()).toEqual(credential);
  expect(statSync(join(directory, "network.json")).mode & 0o777).toBe(0o600);
  writeFileSync(join(directory, "network.json"), '{"identityId":');
  expect(store.loadNetworkCredential()).toBeUndefined();
  for (const forget of [() => store.forgetNetworkCredential(), () => store.discard()]) {
    store.saveNetworkCredential(credential);
    forget();
    expect(store.loadNetworkCredential()).toBeUndefined();
  }
});

test("a crash in the middle of a write leaves the old content", () => {
  const directory = temporaryDirectory();
  const store = openIdentityDirectory(directory);
  const pendingKey = ensurePendingKey(store, runnerId);

  writeFileSync(join(directory, "identity.json.new"), '{"version":1,"runn');

  expect(openIdentityDirectory(directory).load()?.pendingKey).toEqual(pendingKey);
  store.save({ version: 1, runnerId });
  expect(readdirSync(directory)).toEqual(["identity.json"]);
});

test("the key that waits for its certificate is asked for again unchanged", () => {
  const store = createIdentityMemory();
  const first = ensurePendingKey(store, runnerId);

  expect(ensurePendingKey(store, runnerId)).toEqual(first);
});

test("a broken identity is an error that names the file and says what to do", () => {
  const directory = temporaryDirectory();
  const path = join(directory, "identity.json");
  for (const text of ["", "{", "{}", '{"version":2,"runnerId":"x"}']) {
    writeFileSync(path, text);
    chmodSync(path, 0o600);
    expect(() => openIdentityDirectory(directory).load()).toThrow(`${path} is not`);
  }
  expect(readFileSync(path, "utf8")).toContain("version");
});

test("discarding forgets identity, pending key and session number", () => {
  const store = openIdentityDirectory(temporaryDirectory());
  ensurePendingKey(store, runnerId);
  store.saveSessionNumber(7n);

  store.discard();

  expect(store.load()).toBeUndefined();
  expect(store.loadSessionNumber()).toBe(0n);
});
