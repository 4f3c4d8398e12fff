import { afterAll, expect, test } from "vitest";
import { overlayContract } from "../contract.ts";
import { openZitiWorld } from "./world.ts";

const world = await openZitiWorld({ routers: ["near", "far"] });

overlayContract("openziti", () => world.overlay());

test("nothing in all this was against the protocol", () => {
  expect(world.fabric.violations).toEqual([]);
});

afterAll(() => world[Symbol.asyncDispose]());
