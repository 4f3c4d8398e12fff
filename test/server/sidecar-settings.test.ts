import { expect, test } from "vitest";
import { settle, toConfig } from "../../server/src/config.ts";

const sidecarOf = (flags: Record<string, string>) => toConfig(settle(flags, {}, undefined)).sidecar;
const both = { overlay: "sidecar", sidecar_listen: "unix:/run/agyn/plane.sock", sidecar_address: "127.0.0.1:7071" };

test("tunnelers are named by where they hand on and where they take connections", () => {
  expect(sidecarOf(both)).toEqual({ listen: "unix:/run/agyn/plane.sock", address: "127.0.0.1:7071" });
  expect(sidecarOf({ ...both, overlay: "mtls,sidecar" })).toBeDefined();
  expect(sidecarOf({})).toBeUndefined();
});

test.each<[flags: Record<string, string>, error: string]>([
  [{ ...both, overlay: "mtls" }, "sidecar_listen: means nothing unless overlay names sidecar"],
  [{ overlay: "sidecar", sidecar_listen: "127.0.0.1:7071" }, "sidecar_address: needed where overlay names sidecar"],
  [{ overlay: "sidecar", sidecar_address: "127.0.0.1:7071" }, "sidecar_listen: needed where overlay names sidecar"],
  [
    { ...both, sidecar_listen: "unix:plane.sock" },
    "sidecar_listen: unix:plane.sock: after unix: comes an absolute path",
  ],
  [{ ...both, sidecar_address: "here" }, "sidecar_address: here is neither host:port nor unix:/path"],
])("%j is refused", (flags, error) => {
  expect(() => sidecarOf(flags)).toThrow(error);
});
