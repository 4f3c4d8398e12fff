import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { createWorld, readWholeLog, script, untilEnded } from "../support/world.ts";

test("runners work by tunnelers beside them, and the server has no port for them", async () => {
  const directory = await mkdtemp(join(tmpdir(), "agyn-sidecar-"));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  const [plane, told] = [join(directory, "plane.sock"), join(directory, "tunneler.sock")];
  await using world = await createWorld({
    overlay: "sidecar",
    lease: "20s",
    sidecar_listen: `unix:${plane}`,
    sidecar_address: `unix:${told}`,
  });
  expect(world.server.runnerEndpoints).toEqual([`sidecar:unix:${told}`]);
  await openTunneler({ path: told }, plane);
  const elsewhere = await openTunneler({ port: 0, host: "127.0.0.1" }, plane);

  const as = async (name: string, ...flags: string[]) => {
    const started = world.startRunner(await world.register(name), { arguments: flags });
    const { workload } = await world.admin.orchestrator.startWorkload({ spec: script(`echo by ${name}`) });
    expect(await readWholeLog(world.admin, workload!.id)).toEqual([`by ${name}`]);
    await untilEnded(world.admin, workload!.id);
    await started.kill("SIGTERM");
  };
  await as("where-told");
  const { port } = elsewhere.address() as net.AddressInfo;
  await as("elsewhere", "--sidecar", `127.0.0.1:${port}`);
  expect([...carried]).toEqual([told, `${port}`]);
});

/** The tunnelers that have carried something: a path, or a port. */
const carried = new Set<string>();

/** A process that carries connections from one place to another, as bytes. */
async function openTunneler(at: net.ListenOptions, target: string): Promise<net.Server> {
  const server = net.createServer({ allowHalfOpen: true }, (near) => {
    const address = server.address();
    carried.add(typeof address === "string" ? address : String(address?.port));
    const far = net.connect({ path: target, allowHalfOpen: true });
    near.on("error", () => far.destroy()).pipe(far);
    far.on("error", () => near.destroy()).pipe(near);
  });
  await once(server.listen(at), "listening");
  onTestFinished(() => void server.close());
  return server;
}
