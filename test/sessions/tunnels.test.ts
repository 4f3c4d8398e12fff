import { create } from "@bufbuild/protobuf";
import { expect, onTestFinished, test } from "vitest";
import {
  TunnelInputSchema,
  TunnelOutputSchema,
  TunnelStartSchema,
  type TunnelInput,
  type TunnelOutput,
} from "../../proto/gen/agyn/tunnels/v1/tunnel_pb.ts";
import {
  TunnelRequestSchema,
  type TunnelRequest,
  type TunnelResponse,
} from "../../proto/gen/agyn/tunnels/v1/tunnels_service_pb.ts";
import { createTunnels, type Tunnels, type TunnelsDeps, type TunnelWish } from "../../server/src/sessions/tunnels.ts";
import { Handover } from "../../wire/handover.ts";
import { inputWeight_bytes, tunnelPiece_bytes, tunnelWindow_bytes } from "../../wire/tunnel-bounds.ts";

const runnerId = "rnr_aaaaaaaaaaaaaaaa";
const started = create(TunnelOutputSchema, { kind: { case: "started", value: {} } });

/** Tunnels whose dials and calls to runners are noted; what is dialed hangs up at once. */
function tunnelsOf(more: Partial<TunnelsDeps> = {}) {
  const [dials, calls] = [new Handover<string>(), new Handover<string>()];
  const dial = async (_runnerId: string, tunnelId: string) => void dials.push(tunnelId);
  const call = async (_runnerId: string, tunnelId: string) => void calls.push(tunnelId);
  const tunnels = createTunnels({ dial, call, idle_ms: 60_000, ...more });
  return { tunnels, dials: dials.values(), calls: calls.values() };
}

const neverCalled = async () => expect.fail("the runner is called");

/** The id of the next tunnel that a runner is called for. */
async function idOf(calls: AsyncIterator<string>): Promise<string> {
  const next = await calls.next();
  if (next.done) throw new Error("no more runners are called");
  return next.value;
}

/** A caller of a workload: what it is told, and what ends it. */
function use(tunnels: Tunnels, workload: string, more: Partial<TunnelWish> = {}) {
  const leaving = new AbortController();
  onTestFinished(() => leaving.abort(new Error("the test is over")));
  const start = create(TunnelStartSchema, { workloadId: workload, fence: 1n });
  const wish = { runnerId, workloadId: workload, organizationId: "org", isHosting: false, start, inputs: silent() };
  const outputs = tunnels.use({ ...wish, signal: leaving.signal, ...more })[Symbol.asyncIterator]();
  const next = () => {
    const result = outputs.next();
    result.catch(() => undefined);
    return result;
  };
  return { next: next(), readOn: next, leave: () => leaving.abort(new Error("left")) };
}

// oxlint-disable-next-line require-yield -- it has nothing to say
async function* silent(): AsyncGenerator<never> {
  await new Promise(() => undefined);
}

/** The runner's end of a tunnel. */
function arrive(tunnels: Tunnels, tunnelId: string, by = runnerId) {
  const said = new Handover<TunnelRequest>();
  const line = new AbortController();
  const arrival = { runnerId: by, tunnelId, requests: said.values(), signal: line.signal };
  const heard = tunnels.accept(arrival)[Symbol.asyncIterator]();
  const say = (kind: TunnelRequest["kind"]) => void said.push(create(TunnelRequestSchema, { kind }));
  return { heard, say, output: (value: TunnelOutput) => say({ case: "output", value }), cut: () => line.abort() };
}

test("a tunnel is good once, for the runner for which it was made", async () => {
  const { tunnels, calls } = tunnelsOf();
  const { next } = use(tunnels, "wkl_a");
  const tunnelId = await idOf(calls);
  expect(() => arrive(tunnels, tunnelId, "rnr_bbbbbbbbbbbbbbbb")).toThrow("nobody waits here");
  const runner = arrive(tunnels, tunnelId);
  expect(() => arrive(tunnels, tunnelId)).toThrow("nobody waits here");
  runner.output(started);
  expect(await next).toEqual({ done: false, value: started });
});

test("a runner that hosts its service is dialed there, and not called", async () => {
  const dialed = Promise.withResolvers<string>();
  const dial = (_runnerId: string, tunnelId: string) => {
    dialed.resolve(tunnelId);
    return new Promise<void>(() => undefined);
  };
  const { tunnels } = tunnelsOf({ dial, call: neverCalled });
  const { next } = use(tunnels, "wkl_a", { isHosting: true });
  arrive(tunnels, await dialed.promise).output(started);
  expect(await next).toEqual({ done: false, value: started });
});

test("where nothing comes by a runner's service, the runner is called for the same tunnel", async () => {
  const { tunnels, dials, calls } = tunnelsOf();
  const { next } = use(tunnels, "wkl_a", { isHosting: true });
  const [dialed, called] = [await idOf(dials), await idOf(calls)];
  expect(called).toBe(dialed);
  arrive(tunnels, called).output(started);
  expect(await next).toEqual({ done: false, value: started });
});

test("a service that answers and then says nothing leaves time to call the runner", async () => {
  const dial = () => new Promise<void>(() => undefined);
  const { tunnels, calls } = tunnelsOf({ dial, openTimeout_ms: 100 });
  const { next } = use(tunnels, "wkl_a", { isHosting: true });
  next.catch(() => undefined);
  expect(await idOf(calls)).toMatch(/^tnl_/);
});

test("a runner that does not come in time is told, with what to do", async () => {
  const { tunnels } = tunnelsOf({ openTimeout_ms: 50 });
  await expect(use(tunnels, "wkl_a").next).rejects.toMatchObject({
    reason: "UNAVAILABLE",
    message: expect.stringContaining("tunnel_address"),
  });
  expect(tunnels.size).toBe(0);
});

test("I9: of each workload, runner and organization so many tunnels are open, and one more is refused by name", async () => {
  const limits = { workload: 1, runner: 2, organization: 3 };
  const { tunnels } = tunnelsOf({ limits });
  const first = use(tunnels, "wkl_a");
  await expect(use(tunnels, "wkl_a").next).rejects.toMatchObject({
    reason: "LIMIT",
    message: expect.stringContaining("into this workload"),
  });
  use(tunnels, "wkl_b");
  await expect(use(tunnels, "wkl_c").next).rejects.toThrow("2 tunnels into this runner are open already");
  first.leave();
  await expect(first.next).rejects.toThrow("left");
  use(tunnels, "wkl_c");
  expect(tunnels.size).toBe(2);
});

test("no more than a window is sent to a runner that takes nothing, and more as it takes", async () => {
  const { tunnels, calls } = tunnelsOf();
  const piece = create(TunnelInputSchema, { kind: { case: "data", value: new Uint8Array(tunnelPiece_bytes) } });
  let taken = 0;
  async function* endless(): AsyncGenerator<TunnelInput> {
    for (;;) {
      taken += 1;
      yield piece;
    }
  }
  const caller = use(tunnels, "wkl_a", { inputs: endless() });
  const runner = arrive(tunnels, await idOf(calls));
  const pieces = Math.floor(tunnelWindow_bytes / inputWeight_bytes(piece));
  expect((await runner.heard.next()).value.kind.case).toBe("start");
  for (let heard = 0; heard < pieces; heard += 1) await runner.heard.next();
  let next: IteratorResult<TunnelResponse> | undefined;
  const waiting = runner.heard.next().then((result) => (next = result));
  runner.output(started);
  await caller.next;
  void caller.readOn();
  await new Promise((resolve) => setImmediate(resolve));
  expect({ next, taken }).toEqual({ next: undefined, taken: pieces + 1 });
  runner.say({ case: "taken", value: inputWeight_bytes(piece) });
  expect((await waiting).value.kind.case).toBe("input");
});

test("what has no data is sent no faster than the runner takes it, either", async () => {
  const { tunnels, calls } = tunnelsOf();
  const resize = create(TunnelInputSchema, { kind: { case: "resize", value: { columns: 80, rows: 24 } } });
  const weight = inputWeight_bytes(resize);
  const most = Math.floor(tunnelWindow_bytes / weight);
  let asked = 0;
  async function* many(): AsyncGenerator<TunnelInput> {
    while (asked < 2 * most) {
      asked += 1;
      yield resize;
    }
  }
  const caller = use(tunnels, "wkl_a", { inputs: many() });
  const runner = arrive(tunnels, await idOf(calls));
  await runner.heard.next();
  let heard = 0;
  const listen = async () => {
    for (let next = await runner.heard.next(); !next.done; next = await runner.heard.next()) heard += 1;
  };
  void listen();
  runner.output(started);
  await caller.next;
  void caller.readOn();
  await new Promise((resolve) => setImmediate(resolve));
  expect({ heard, asked }).toEqual({ heard: most, asked: most + 1 });
  runner.say({ case: "taken", value: 2 * weight });
  await new Promise((resolve) => setImmediate(resolve));
  expect(heard).toBe(most + 2);
});

test("a runner's refusal and the loss of its link end the caller's stream with a reason", async () => {
  const { tunnels, calls } = tunnelsOf();
  const refused = use(tunnels, "wkl_a");
  const refusing = arrive(tunnels, await idOf(calls));
  refusing.say({
    case: "refused",
    value: { $typeName: "agyn.tunnels.v1.TunnelRefusal", reason: "STALE_FENCE", message: "old" },
  });
  await expect(refused.next).rejects.toMatchObject({ reason: "STALE_FENCE", message: "old" });
  const broken = use(tunnels, "wkl_a");
  const cut = arrive(tunnels, await idOf(calls));
  cut.cut();
  await expect(broken.next).rejects.toMatchObject({
    reason: "UNAVAILABLE",
    message: "the link to the workload's runner broke",
  });
  expect(tunnels.size).toBe(0);
});
