import { afterAll, expect, test } from "vitest";
import { overlayContract } from "../contract.ts";
import { openRealNetwork, openZitiWorld } from "./world.ts";

// Against a real controller where one is given, otherwise against the double, which records what is against the protocol.
const network = openRealNetwork(process.env) ?? (await openZitiWorld({ routers: ["near", "far"] }));

const create = () => network.overlay();

overlayContract("openziti", {
  create,
  nowhere: { service: "nowhere" },
  carried: network.routers && (async () => ({ overlay: create(), ...network.routers })),
});

test("nothing in all this was against the protocol", () => {
  expect(network.fabric?.violations ?? []).toEqual([]);
});

afterAll(() => network[Symbol.asyncDispose]());
