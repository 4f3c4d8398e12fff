import http from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { expect, test } from "vitest";
import {
  EnrollmentOfferSchema,
  RunnersService,
  StartEnrollmentResponseSchema,
  type StartEnrollmentResponse,
} from "../../proto/gen/agyn/runners/v1/runners_service_pb.ts";
import { outcomesOf } from "../support/runner-client.ts";
import { createWorld, until, type World } from "../support/world.ts";

const day_ms = 86_400_000;

test.for([
  [
    "a signature that is wrong",
    (answer: StartEnrollmentResponse) => ({ signature: answer.signature.with(9, answer.signature[9]! ^ 1) }),
  ],
  [
    "an offer that names another runner plane",
    (answer: StartEnrollmentResponse) => ({ offer: elsewhere(answer.offer) }),
  ],
  [
    "a chain cut short",
    ({ chainPem }: StartEnrollmentResponse) => ({ chainPem: chainPem.slice(chainPem.lastIndexOf("-----BEGIN")) }),
  ],
] as const)("bad-07: a gateway that answers with %s gets no enrollment", async ([, change]) => {
  await using world = await createWorld();
  await using gateway = await openTamperingGateway(world, change);
  const runner = await world.register("build-1");

  const started = world.startRunner(runner, { gateway: gateway.url });
  await until("the runner has given up", () => started.process.exitCode !== null);

  expect(started.process.exitCode).not.toBe(0);
  expect(started.output()).toMatch(/signature does not fit what it sent|chain|certificate/);
  expect(gateway.enrollments()).toBe(0);
  expect(await outcomesOf(world.admin, runner.id, "runner.enroll")).toEqual([]);
});

test("bad-07: another control plane's honest answer is refused by the token's pin", async () => {
  await using world = await createWorld();
  await using other = await createWorld();
  const runner = await world.register("build-1");

  const started = world.startRunner(runner, { gateway: other.server.gateway });
  await until("the runner has given up", () => started.process.exitCode !== null);

  expect(started.output()).toMatch(/pin/);
});

test.for([
  ["ahead", day_ms],
  ["behind", -day_ms],
] as const)(
  "bad-06: a machine whose clock is a day %s enrolls nobody and says what to look at",
  async ([, skew_ms]) => {
    await using world = await createWorld();
    const runner = await world.register("build-1");

    const started = world.startRunner(runner, { environment: skewedClock(skew_ms) });
    await until("the runner has given up", () => started.process.exitCode !== null);

    expect(started.output()).toMatch(/clock/);
    expect(await outcomesOf(world.admin, runner.id, "runner.enroll")).toEqual([]);
  },
);

/** Shifts the clock that JavaScript sees; the system's stays. */
function skewedClock(skew_ms: number): NodeJS.ProcessEnv {
  const shift = `const R=Date;globalThis.Date=class extends R{constructor(...a){a.length?super(...a):super(R.now()+${skew_ms})}static now(){return R.now()+${skew_ms}}}`;
  return { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(shift)}` };
}

function elsewhere(offer: Uint8Array): Uint8Array {
  const read = fromBinary(EnrollmentOfferSchema, offer);
  const endpoints = [{ kind: { case: "mtls" as const, value: "192.0.2.1:7071" } }];
  const { trustDomain, runnerId, nonce, trustBundlePem } = read;
  return toBinary(
    EnrollmentOfferSchema,
    create(EnrollmentOfferSchema, { trustDomain, runnerId, nonce, trustBundlePem, endpoints }),
  );
}

/** Something in between that passes StartEnrollment on and changes its answer. */
async function openTamperingGateway(
  world: World,
  change: (answer: StartEnrollmentResponse) => Partial<StartEnrollmentResponse>,
) {
  let enrollments = 0;
  const handle = connectNodeAdapter({
    routes: (router) =>
      router.service(RunnersService, {
        async startEnrollment({ runnerId }) {
          const answer = await world.admin.runners.startEnrollment({ runnerId });
          return create(StartEnrollmentResponseSchema, { ...answer, ...change(answer) });
        },
        enroll(request) {
          enrollments += 1;
          return world.admin.runners.enroll(request);
        },
      }),
  });
  const server = http.createServer(handle);
  await once(server.listen(0, "127.0.0.1"), "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    enrollments: () => enrollments,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}
