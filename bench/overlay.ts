/** What an OpenZiti network costs: connections through the router that the tests have, beside plain TCP, bare and secured. */
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { BenchPostgres } from "./database.ts";
import type { Figure, Report } from "./figure.ts";
import { createCredentials } from "./overlay-credentials.ts";
import type { DialerDone, DialerTerms, Measured } from "./overlay-dialer.ts";
import type { HostReady, HostTerms } from "./overlay-host.ts";
import { measureStarts_ms } from "./overlay-starts.ts";
import { services, type Network } from "./overlay-terms.ts";

/** Both ends and the network are processes of their own; one overlay is measured after the other. */
export async function runOverlayBench(server: BenchPostgres): Promise<Report> {
  const mtls = await measure(undefined);
  const openziti = await withNetwork(services, measure);
  const startsPlain_ms = await measureStarts_ms(server, undefined);
  const starts_ms = await withNetwork([], (network) => measureStarts_ms(server, network));
  return {
    figures: [
      ...figures("bare", openziti.bare, mtls.bare),
      ...figures("secured", openziti.secured, mtls.secured),
      {
        name: "from StartWorkload to the runner, one at a time, p50",
        value: starts_ms,
        unit: "ms",
        baseline: { name: "over mtls", value: startsPlain_ms },
        ratio: startsPlain_ms / starts_ms,
      },
    ],
    limit:
      "CPU: each byte is encrypted end to end and by TLS to the router, which decrypts and encrypts it again on the same machine; bare mtls is plain TCP and encrypts nothing",
  };
}

async function withNetwork<T>(names: readonly string[], use: (network: Network) => Promise<T>): Promise<T> {
  using fabric = start("../test/support/fabric-process.ts", names);
  return await use(await fabric.message<Network>());
}

async function measure(network: Network | undefined): Promise<DialerDone> {
  const { server, client } = await createCredentials();
  using host = start("overlay-host.ts", { network, secure: server } satisfies HostTerms);
  const { endpoints } = await host.message<HostReady>();
  using dialer = start("overlay-dialer.ts", { network, secure: client, endpoints } satisfies DialerTerms);
  return await dialer.message<DialerDone>();
}

const scale = {
  p50_ms: { name: "round trip of 64 bytes, p50", unit: "ms", target: "< 0.6 ms" },
  p99_ms: { name: "round trip of 64 bytes, p99", unit: "ms" },
  oneWay: { name: "64 MiB one way", unit: "MiB/s", target: "> 60 MiB/s" },
  oneWayCpu_ms: { name: "processor of the sender for 1 MiB", unit: "ms" },
  bothWays: { name: "64 MiB both ways at once, each way", unit: "MiB/s", target: "> 60 MiB/s" },
  opened: { name: "connections opened, 16 at once", unit: "/s" },
  rss_bytes: { name: "memory (RSS) of an open connection, dialing side", unit: "bytes" },
  heap_bytes: { name: "of which in the heap", unit: "bytes" },
} as const satisfies Record<keyof Measured, Pick<Figure, "name" | "unit" | "target">>;
const moreIsBetter: readonly (keyof Measured)[] = ["oneWay", "bothWays", "opened"];

function figures(kind: keyof DialerDone, ours: Measured, plain: Measured): Figure[] {
  return (Object.keys(scale) as (keyof Measured)[]).map((key) => {
    const [value, baseline] = [ours[key], { name: `${kind} over mtls`, value: plain[key] }];
    const ratio = moreIsBetter.includes(key) ? value / baseline.value : baseline.value / value;
    return { ...scale[key], name: `${kind}: ${scale[key].name}`, value, baseline, ratio };
  });
}

/** A process of this benchmark, given its terms; it ends with its use here. */
function start(file: string, terms: unknown): Disposable & { message<T>(): Promise<T> } {
  const execArgv = ["--expose-gc", ...(process.env["AGYN_BENCH_OVERLAY_ARGUMENTS"] ?? "").split(" ").filter(Boolean)];
  const child = fork(join(import.meta.dirname, file), [JSON.stringify(terms)], { execArgv });
  const exited = once(child, "exit").then(() => {
    throw new Error(`${file} ended before it said anything`);
  });
  exited.catch(() => {});
  return {
    message: async <T>() => ((await Promise.race([once(child, "message"), exited])) as [T])[0],
    [Symbol.dispose]: () => disconnect(child),
  };
}

function disconnect(child: ChildProcess): void {
  if (child.connected) child.disconnect();
}
