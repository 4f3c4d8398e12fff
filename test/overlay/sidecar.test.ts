import { link, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { createSidecarOverlay } from "../../overlay/sidecar.ts";
import { overlayContract } from "./contract.ts";
import { textOf } from "./http2-client.ts";
import { throughProxy } from "./through-proxy.ts";

const create = () => createSidecarOverlay({ services: { "control-plane": "127.0.0.1:0" } });

// The hop that can be taken away is what a tunneler is to this adapter.
overlayContract("sidecar", {
  create,
  nowhere: "127.0.0.1:1",
  carried: () =>
    throughProxy(
      create(),
      (address) => address,
      (port) => `127.0.0.1:${port}`,
    ),
});

test("a tunneler may also be met by a socket in the file system", async () => {
  const directory = await mkdtemp(join(tmpdir(), "agyn-sidecar-"));
  const overlay = createSidecarOverlay({ services: { "control-plane": `unix:${join(directory, "socket")}` } });
  onTestFinished(async () => {
    await overlay.close();
    await rm(directory, { recursive: true, force: true });
  });
  const listener = await overlay.listen("control-plane", (connection) => connection.end("hello"));

  const connection = await overlay.dial(listener.address);

  expect(await textOf(connection)).toBe("hello");
  connection.destroy();
});

test("what a killed process left of a socket is in nobody's way, and a living one is", async () => {
  const directory = await mkdtemp(join(tmpdir(), "agyn-sidecar-"));
  const [living, left] = [join(directory, "living"), join(directory, "left")];
  const overlay = createSidecarOverlay({ services: { living: `unix:${living}`, left: `unix:${left}` } });
  onTestFinished(async () => {
    await overlay.close();
    await rm(directory, { recursive: true, force: true });
  });
  const first = await overlay.listen("living", (connection) => connection.destroy());
  await link(living, left);
  await expect(overlay.listen("living", () => {})).rejects.toMatchObject({ reason: "address_unavailable" });
  await first.close();

  const listener = await overlay.listen("left", (connection) => connection.end("hello"));
  const connection = await overlay.dial(listener.address);
  expect(await textOf(connection)).toBe("hello");
  connection.destroy();
});

test.each([
  ["localhost", "neither host:port nor unix:/path"],
  ["127.0.0.1:65536", "neither host:port nor unix:/path"],
  ["unix:relative", "an absolute path of at most 107 bytes"],
  [`unix:/${"x".repeat(107)}`, "an absolute path of at most 107 bytes"],
])("%s is no place of a tunneler", async (endpoint, rule) => {
  await expect(createSidecarOverlay().dial(endpoint)).rejects.toThrow(rule);
});
