import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openCaller } from "./caller.ts";
import { startControlPlane } from "./control-plane.ts";
import type { BenchPostgres } from "./database.ts";
import { median } from "./figure.ts";
import { openFleet } from "./fleet.ts";
import type { Network } from "./overlay-terms.ts";

const warmUp = 100;
const measured = 300;

/** From the call of StartWorkload to a runner that has it, one at a time; the median in ms. Over mtls where there is no network. */
export async function measureStarts_ms(server: BenchPostgres, network: Network | undefined): Promise<number> {
  const name = network === undefined ? "mtls" : "openziti";
  const directory = await mkdtemp(join(tmpdir(), "agyn-bench-overlay-"));
  try {
    const settings = network === undefined ? {} : await networkSettings(network, directory);
    await using plane = await startControlPlane(await server.createDatabase(`bench_overlay_${name}`), settings);
    let arrived = Promise.withResolvers<number>();
    const onPlace = () => arrived.resolve(performance.now());
    const ignore = () => undefined;
    using _fleet = await openFleet(plane, { size: 1, slots: 10, onPlace, onCompleted: ignore, onLost: ignore });
    using caller = await openCaller(plane);
    const times: number[] = [];
    for (let count = 0; count < warmUp + measured; count += 1) {
      arrived = Promise.withResolvers();
      const start_ms = performance.now();
      await caller.start();
      const time_ms = (await arrived.promise) - start_ms;
      if (count >= warmUp) times.push(time_ms);
    }
    return median(times);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function networkSettings(network: Network, directory: string): Promise<Record<string, string>> {
  const [caFile, passwordFile] = [join(directory, "network-ca.pem"), join(directory, "network-password")];
  const { username, password } = network.administrator;
  await writeFile(caFile, network.credential.caPem);
  await writeFile(passwordFile, password, { mode: 0o600 });
  return {
    overlay: "openziti",
    ziti_controller: network.controller,
    ziti_ca_file: caFile,
    ziti_admin_username: username,
    ziti_admin_password_file: passwordFile,
  };
}
