import { once } from "node:events";
import type { Duplex } from "node:stream";
import { afterEach, describe, expect, onTestFinished, test } from "vitest";
import { OverlayError } from "../../../overlay/errors.ts";
import type { Credential } from "../../../overlay/openziti/credential.ts";
import { createTcpProxy } from "../../support/tcp-proxy.ts";
import { createForeignAuthority } from "../fabric/foreign-authority.ts";
import { until } from "../http2-client.ts";
import { networks, openZitiWorld, type ZitiWorld } from "./world.ts";

let world: ZitiWorld;
afterEach(() => world[Symbol.asyncDispose]());

/** Whether bytes still pass from one end to the other and back. */
async function echoes(near: Duplex, far: Duplex): Promise<boolean> {
  near.write("there");
  const [there] = (await once(far, "data")) as [Buffer];
  far.write("back");
  const [back] = (await once(near, "data")) as [Buffer];
  return `${String(there)} ${String(back)}` === "there back";
}

const kinds = () => world.fabric.model.apiSessions.all().map(({ kind }) => kind);

describe.each(networks)("$version with $sessions sessions", ({ version, sessions }) => {
  test("a service is hosted, dialed and listed, as the protocol has it", async () => {
    world = await openZitiWorld({ version });
    const overlay = world.overlay({ sessions });
    const [near, far] = await world.connect(overlay);
    expect(await echoes(near, far)).toBe(true);
    expect(await overlay.services()).toMatchObject([{ name: "control-plane", encrypted: true }]);
    expect(kinds()).toEqual([sessions]);
    for (const end of [near, far]) end.destroy();
    await overlay.close();
    expect(world.fabric.violations).toEqual([]);
  });

  test("a session is kept alive past its time, and so is what it carries", async () => {
    const life_ms = 3000;
    world = await openZitiWorld({ version, lives: { session_ms: life_ms, accessToken_ms: life_ms } });
    const [near, far] = await world.connect(world.overlay({ sessions }));
    const end_ms = performance.now() + 1.5 * life_ms;
    await until(() => performance.now() > end_ms, "the session has run out, had it not been kept");
    expect(await echoes(near, far)).toBe(true);
    expect(kinds()).toEqual([sessions]);
    expect(world.fabric.violations).toEqual([]);
  });

  test("a session that the controller dropped is opened anew, and services are hosted again", async () => {
    world = await openZitiWorld({ version });
    const overlay = world.overlay({ sessions });
    const accepted: Duplex[] = [];
    await overlay.listen("control-plane", (connection) => accepted.push(connection));
    const [session] = world.fabric.model.apiSessions.all();
    world.fabric.model.apiSessions.delete(session?.id ?? "");
    world.fabric.router().drop(session?.identityId ?? "");
    await until(() => world.fabric.counts.listeners === 0, "the host is cut off");

    await until(() => world.fabric.counts.listeners === 1, "the service is hosted again");
    const near = await overlay.dial({ service: "control-plane" });
    await until(() => accepted.length === 1, "the connection is accepted");
    expect(await echoes(near, accepted[0]!)).toBe(true);
  });

  test("a renewed certificate logs in anew, hosts again, and cuts nothing that runs", async () => {
    world = await openZitiWorld({ version });
    const [old, renewed] = await twoCertificates();
    let credential = old;
    const overlay = world.overlay({ sessions, credential: () => credential, settings: { credentialCheck_ms: 50 } });
    const accepted: Duplex[] = [];
    await overlay.listen("control-plane", (connection) => accepted.push(connection));
    const before = await overlay.dial({ service: "control-plane" });
    const first = world.fabric.model.terminators.all()[0]?.id;

    credential = renewed;
    await until(() => world.fabric.model.terminators.all().some(({ id }) => id !== first), "hosted by the new login");
    await until(() => world.fabric.counts.listeners === 1, "no more by the old one");
    const after = await overlay.dial({ service: "control-plane" });
    await until(() => accepted.length === 2, "the new connection is accepted");
    expect(await echoes(before, accepted[0]!)).toBe(true);
    expect(await echoes(after, accepted[1]!)).toBe(true);

    before.destroy();
    await until(() => world.fabric.counts.clients === 1, "the old login has gone with its last connection");
    expect(world.fabric.violations).toEqual([]);
  });
});

test.each([
  ["2.0.3", "oidc", true],
  ["2.0.3", "legacy", false],
  ["1.6.20", "legacy", true],
] as const)("on %s a %s session is chosen where OIDC is on offer: %s", async (version, kind, oidc) => {
  world = await openZitiWorld({ version, oidc });
  await world.overlay().services();
  expect(kinds()).toEqual([kind]);
});

test("a certificate that nobody knows is unauthorized, and so is one that was disabled", async () => {
  world = await openZitiWorld();
  const stranger = await (await createForeignAuthority()).issue({ commonName: "stranger" });
  const strange = world.overlay({ credential: () => ({ ...stranger, caPem: world.fabric.caPem }) });
  await expect(strange.dial({ service: "control-plane" })).rejects.toMatchObject({ reason: "unauthorized" });

  const overlay = world.overlay();
  const [near] = await world.connect(overlay);
  const { identities } = world.fabric.model;
  const identity = identities.find(({ name }) => name === "everyone");
  identities.update(identity!, { disabledUntil: new Date(Date.now() + 3_600_000) });
  await until(() => near.destroyed, "what runs is cut");
  await expect(overlay.dial({ service: "control-plane" })).rejects.toMatchObject({ reason: "unauthorized" });
});

test("a controller under another authority is not trusted", async () => {
  world = await openZitiWorld();
  const { certPem: caPem } = await createForeignAuthority();
  const overlay = world.overlay({ credential: () => ({ ...world.credential, caPem }) });
  await expect(overlay.services()).rejects.toMatchObject({ reason: "peer_untrusted" });
});

test("a controller that is away is waited for by hosts, and is an error for dialers", async () => {
  world = await openZitiWorld();
  const overlay = world.overlay();
  await overlay.listen("control-plane", (connection) => connection.destroy());
  world.fabric.controller.away();
  const other = world.overlay();
  await expect(other.dial({ service: "control-plane" })).rejects.toMatchObject({ name: "OverlayError" });
  await world.fabric.router().kill();
  world.fabric.controller.back();
  await world.fabric.router().revive();
  await until(() => world.fabric.counts.listeners === 1, "the service is hosted again");
});

test("whoever gives up is told so at once, and others who wait for the same login are not", async () => {
  world = await openZitiWorld();
  const overlay = world.overlay();
  const impatient = new AbortController();
  const [given, kept] = [overlay.services({ signal: impatient.signal }), overlay.services()];
  impatient.abort();
  await expect(given).rejects.toMatchObject({ reason: "cancelled" });
  expect(await kept).toHaveLength(1);
});

test("whoever gives up between two tries that nothing can be logged in with hears no more of it, nor does the process", async () => {
  world = await openZitiWorld();
  const asked = Promise.withResolvers<void>();
  const credential = async () => {
    asked.resolve();
    throw new OverlayError("unauthorized", "there is no certificate yet");
  };
  const overlay = world.overlay({ credential, settings: { backOff_ms: 1000 } });
  const giveUp = new AbortController();
  const dialing = overlay.dial({ service: "control-plane" }, { signal: giveUp.signal });
  await asked.promise;
  giveUp.abort();
  await expect(dialing).rejects.toMatchObject({ reason: "cancelled" });
  await expect(overlay.services({ signal: AbortSignal.abort() })).rejects.toMatchObject({ reason: "cancelled" });
});

test("nothing is hosted any more once the overlay is closed, whatever it was closed in the middle of", async () => {
  world = await openZitiWorld();
  const outcomes: unknown[] = [];
  for (const turns of [0, 4, 16, 32, 64, 128, 256, 512]) {
    const overlay = world.overlay();
    const listening = overlay.listen("control-plane", (connection) => connection.destroy());
    const outcome = listening.then(
      () => "cancelled",
      ({ reason }: OverlayError) => reason,
    );
    for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
    await overlay.close();
    outcomes.push(await outcome);
  }
  expect(new Set(outcomes)).toEqual(new Set(["cancelled"]));
  await until(() => world.fabric.counts.listeners === 0, "nothing is hosted");
  await until(() => world.fabric.counts.clients === 0, "nobody is there");
});

/** Two certificates of one identity, of an authority that the controller trusts. */
async function twoCertificates(): Promise<[Credential, Credential]> {
  const { fabric } = world;
  const authority = await createForeignAuthority();
  const uri = "spiffe://agyn-test/cluster/runner/one";
  fabric.model.cas.insert({
    name: "runners",
    certPem: authority.certPem,
    isAutoCaEnrollmentEnabled: false,
    isOttCaEnrollmentEnabled: false,
    isAuthEnabled: true,
    externalIdClaim: {
      location: "SAN_URI",
      matcher: "ALL",
      matcherCriteria: "",
      parser: "NONE",
      parserCriteria: "",
      index: 0,
    },
    verificationToken: "",
    isVerified: true,
    fingerprint: "",
  });
  await fabric.addIdentity("runner", { roleAttributes: ["all-of-them"], externalId: uri });
  const issue = async () => ({ ...(await authority.issue({ commonName: "runner", uri })), caPem: fabric.caPem });
  return [await issue(), await issue()];
}

describe("of several controllers", () => {
  /** A second way to the controller of the world, as another of its network would be, and one that is never there. */
  async function openControllers(before: (first: string, second: string) => readonly string[]) {
    world = await openZitiWorld();
    const first = await createTcpProxy(new URL(world.fabric.url).host);
    onTestFinished(() => first.close());
    const overlay = world.overlay({ controller: before(`https://${first.address}`, world.fabric.url) });
    const accepted = Promise.withResolvers<Duplex>();
    await overlay.listen("control-plane", accepted.resolve);
    return { first, overlay };
  }

  test("those that are not there are passed over", async () => {
    const { overlay } = await openControllers((_, second) => ["https://127.0.0.1:1", second]);
    await overlay.dial({ service: "control-plane" });
    expect(world.fabric.violations).toEqual([]);
  });

  test("another takes the place of one that goes, and the login goes on", async () => {
    const { first, overlay } = await openControllers((one, two) => [one, two]);
    expect(first.open).toBeGreaterThan(0);
    await first.close();
    expect(await overlay.services()).toMatchObject([{ name: "control-plane" }]);
    expect(kinds()).toHaveLength(1);
  });

  test("where none is there the last is named", async () => {
    const { first, overlay } = await openControllers((one) => [one, "https://127.0.0.1:1"]);
    await first.close();
    await expect(overlay.services()).rejects.toMatchObject({
      reason: "unreachable",
      message: expect.stringContaining("controller 127.0.0.1:1"),
    });
  });
});
