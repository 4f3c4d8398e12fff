import { create, fromBinary, toBinary, type DescMethod, type Message, type MessageInitShape } from "@bufbuild/protobuf";
import { EmptySchema } from "@bufbuild/protobuf/wkt";
import type { Transport } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Plane } from "../../proto/gen/agyn/options/v1/options_pb.ts";
import { RegisterRunnerRequestSchema, RunnersService } from "../../proto/gen/agyn/runners/v1/runners_service_pb.ts";
import { patternWords } from "../../server/src/api/interceptors/pattern-words.ts";
import { accessOf } from "../../server/src/api/interceptors/access.ts";
import { methods } from "./access-matrix.ts";
import { call, type Outcome } from "./call.ts";
import { placesOf, type Place } from "./places.ts";
import { openContractWorld, type ContractWorld } from "./world.ts";

let contract: ContractWorld;
let users: Transport;
let runners: Transport;

beforeAll(async () => {
  contract = await openContractWorld();
  users = contract.userPlane(contract.users.olga.token);
  runners = contract.runnerPlane(await contract.enroll(contract.acme.serviceToken));
});
afterAll(() => contract.close());

const transportOf = (method: DescMethod) => {
  if (accessOf(method).requiredRole === "trigger_token") return contract.userPlane(contract.acme.triggerToken);
  return accessOf(method).plane === Plane.USER ? users : runners;
};
/** The messages of gRPC itself are not ours to bound. */
const ours = methods.filter(({ parent }) => parent.typeName.startsWith("agyn."));
const each = ours.map((method) => [`${method.parent.name}.${method.name}`, method, placesOf(method.input)] as const);

describe("bad-19: what does not belong in a field is refused by name", () => {
  test("I9: every text, bytes, list and map of a request has a bound in the contract", () => {
    const unbound = each.flatMap(([name, , places]) =>
      places.filter(({ bound }) => bound === undefined).map(({ path }) => `${name}: ${path}`),
    );
    expect(unbound).toEqual([]);
  });

  test("every pattern of the contract is told in words", () => {
    const patterns = each.flatMap(([name, , places]) =>
      places.flatMap(({ path, pattern }) => (pattern === undefined ? [] : [[pattern, `${name}: ${path}`] as const])),
    );
    expect(patterns.length).toBeGreaterThan(100);
    expect(patterns.filter(([pattern]) => patternWords(pattern) === undefined)).toEqual([]);
  });

  test("a text that breaks a pattern is refused in words, a map's key apart from its value", async () => {
    const refusalOf = (request: MessageInitShape<typeof RegisterRunnerRequestSchema>) =>
      call(users, RunnersService.method.registerRunner, create(RegisterRunnerRequestSchema, request));
    const scope = { kind: { case: "organization", value: "acme" } } as const;
    const name = 'name: must be lower-case letters, digits, ".", "_" or "-", and begin and end with a letter or digit';
    expect(await refusalOf({ scope, name: "Build 1" })).toMatchObject({ message: name, fields: ["name"] });
    const label =
      'labels["a: b"]: the key must be letters, digits, ".", "_", "/" or "-", and begin and end with a letter or digit';
    expect(await refusalOf({ scope, name: "build-1", labels: { "a: b": "" } })).toMatchObject({ message: label });
  });

  test.each(each)("%s refuses one more than each bound", async (_name, method, places) => {
    const accepted = await refusedPlaces(method, places, ({ fill, bound }, message) => fill(message, bound! + 1));
    expect(accepted).toEqual([]);
  });

  test.each(each)("%s refuses NUL in each text", async (_name, method, places) => {
    const texts = places.filter(({ kind }) => kind === "string");
    expect(await refusedPlaces(method, texts, ({ put }, message) => put(message, "a\0b"))).toEqual([]);
  });

  test.each(each)("%s refuses invalid UTF-8 in each text", async (_name, method, places) => {
    for (const { path, put } of places.filter(({ kind }) => kind === "string")) {
      const message = create(method.input);
      put(message, marker);
      const outcome = await call(
        transportOf(method),
        { ...method, input: EmptySchema },
        spoil(toBinary(method.input, message)),
      );
      expect(outcome, path).toMatchObject({ kind: "failed", message: expect.stringMatching(/^parse binary: .*utf-8/) });
    }
  });
});

/** The places whose content was not refused by name. */
async function refusedPlaces(
  method: DescMethod,
  places: readonly Place[],
  spoilAt: (place: Place, message: Message) => void,
): Promise<string[]> {
  const accepted: string[] = [];
  for (const place of places) {
    const message = create(method.input);
    spoilAt(place, message);
    const outcome = await call(transportOf(method), method, message);
    if (!isRefusedAt(outcome, place.path))
      accepted.push(`${place.path}: ${outcome.kind === "failed" ? outcome.message : "answered"}`);
  }
  return accepted;
}

function isRefusedAt(outcome: Outcome, path: string): boolean {
  if (outcome.kind !== "failed" || outcome.reason !== "INVALID_ARGUMENT") return false;
  return outcome.fields.map((field) => field.replaceAll(/\[[^\]]*\]/g, "")).includes(path);
}

const marker = "ZZZZ";

/** The same message with bytes that are not UTF-8 in the marker's place; as a message without known fields, so that nothing re-encodes them. */
function spoil(bytes: Uint8Array): Message {
  const start = Buffer.from(bytes).indexOf(marker);
  if (start < 0) throw new Error("the marker is not in the message");
  const spoiled = Uint8Array.from(bytes);
  spoiled.set([0xff, 0xfe, 0xc0, 0x80], start);
  return fromBinary(EmptySchema, spoiled);
}
