import { randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import { textOf } from "../http2-client.ts";
import { openNativeSodium } from "../../../overlay/openziti/native-sodium.ts";
import { openWasmSodium } from "../../../overlay/openziti/wasm-sodium.ts";
import {
  chooseSodium,
  loadSodium,
  sealOverhead_bytes,
  type Sealer,
  type Sodium,
} from "../../../overlay/openziti/sodium.ts";
import { openZitiWorld } from "./world.ts";

const native = openNativeSodium();
const wasm = await openWasmSodium();
const pairs: readonly [string, Sodium, Sodium][] = [
  ["native and native", native, native],
  ["native and WebAssembly", native, wasm],
  ["WebAssembly and native", wasm, native],
  ["WebAssembly and WebAssembly", wasm, wasm],
];

test.each(pairs)("%s understand each other, both ways, through empty and large messages", (_, dialer, host) => {
  const { client, server } = exchange(dialer, host);
  for (const [from, to, sender, receiver] of [
    [dialer, host, client, server],
    [host, dialer, server, client],
  ] as const) {
    const sealer = from.createSealer(sender.send);
    const opener = to.createOpener(receiver.receive, sealer.header);
    for (const length of [0, 1, 31 * 1024, 100_000, 5]) {
      const plain = randomBytes(length);
      expect(opener.open(seal(sealer, plain))?.equals(plain)).toBe(true);
    }
    sealer.close();
    opener.close();
  }
});

test("both derive the same keys from the same exchange", () => {
  const [dialer, host] = [native.createKeyPair(), native.createKeyPair()];
  expect(hex(wasm.clientKeys(dialer, host.publicKey))).toEqual(hex(native.clientKeys(dialer, host.publicKey)));
  expect(hex(wasm.serverKeys(host, dialer.publicKey))).toEqual(hex(native.serverKeys(host, dialer.publicKey)));
});

test.each(pairs)("%s refuse what was changed, repeated, reordered or cut", (_, dialer, host) => {
  const { client, server } = exchange(dialer, host);
  const sealer = dialer.createSealer(client.send);
  const sealed = [seal(sealer, Buffer.from("first")), seal(sealer, Buffer.from("second"))] as const;
  const changed = Buffer.from(sealed[0]);
  changed[7] = (changed[7] ?? 0) ^ 1;
  const attempts = [[changed], [sealed[1]], [sealed[0], sealed[0]], [sealed[0].subarray(1)], [Buffer.alloc(16)]];
  for (const attempt of attempts) {
    const opener = host.createOpener(server.receive, sealer.header);
    expect(attempt.map((message) => opener.open(message)).at(-1)).toBeUndefined();
  }
});

test.each([
  ["native", native],
  ["WebAssembly", wasm],
])("%s refuses a public key that is none", (_, sodium) => {
  for (const key of [Buffer.alloc(32), Buffer.alloc(31, 1), Buffer.alloc(0)]) {
    expect(sodium.clientKeys(sodium.createKeyPair(), key)).toBeUndefined();
    expect(sodium.serverKeys(sodium.createKeyPair(), key)).toBeUndefined();
  }
});

const notHere = () => Promise.reject(new Error("no binary for this machine"));

test.each([
  ["dials", notHere, loadSodium],
  ["hosts", loadSodium, notHere],
] as const)("an end without the native library %s one that has it", async (_, dialing, hosting) => {
  await using world = await openZitiWorld();
  const dialer = world.overlay({ sodium: () => chooseSodium(dialing) });
  const [near, far] = await world.connect(dialer, world.overlay({ sodium: () => chooseSodium(hosting) }));
  near.end("question");
  expect(await textOf(far)).toBe("question");
  far.end("answer");
  expect(await textOf(near)).toBe("answer");
  expect(world.fabric.violations).toEqual([]);
});

test("the library in WebAssembly takes the place of a native one that cannot be loaded", async () => {
  expect(await chooseSodium(async () => native)).toBe(native);
  const fallback = await chooseSodium(notHere);
  const { client, server } = exchange(fallback, native);
  const sealer = fallback.createSealer(client.send);
  const opener = native.createOpener(server.receive, sealer.header);
  expect(String(opener.open(seal(sealer, Buffer.from("by WebAssembly"))))).toBe("by WebAssembly");
});

test("one library is loaded for all", async () => {
  expect(await loadSodium()).toBe(await loadSodium());
});

function exchange(dialer: Sodium, host: Sodium) {
  const [near, far] = [dialer.createKeyPair(), host.createKeyPair()];
  const client = dialer.clientKeys(near, far.publicKey);
  const server = host.serverKeys(far, near.publicKey);
  if (client === undefined || server === undefined) throw new Error("no keys came of the exchange");
  return { client, server };
}

function seal(sealer: Sealer, plain: Buffer): Buffer {
  const into = Buffer.alloc(plain.length + sealOverhead_bytes);
  sealer.seal(plain, into);
  return into;
}

function hex(keys: ReturnType<Sodium["clientKeys"]>): string[] {
  return [keys?.receive, keys?.send].map((key) => Buffer.from(key ?? []).toString("hex"));
}
