/**
 * What `@openziti/ziti-sdk-nodejs` shows to who imports it, as far as it dials, over our own client: one login for the
 * process, from a file, and connections that are one end of a pair of sockets, bridged to the network by the other.
 */
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import net from "node:net";
import type { Duplex } from "node:stream";
import { createOpenZitiOverlay, type OpenZitiOverlay } from "../../overlay/openziti/openziti.ts";

let context: OpenZitiOverlay | undefined;
const bridged = new Set<Duplex>();

export async function init(path: string): Promise<void> {
  const { ztAPI, id } = JSON.parse(readFileSync(path, "utf8")) as { ztAPI: string; id: Record<string, string> };
  const [keyPem, certPem, caPem] = ["key", "cert", "ca"].map((name) => id[name]!.replace(/^pem:/, "")) as [
    string,
    string,
    string,
  ];
  const overlay = createOpenZitiOverlay({ controller: ztAPI, credential: () => ({ keyPem, certPem, caPem }) });
  context = overlay;
  await overlay.services();
}

type DialInfo = { readonly service: string; readonly identity?: string };
type Done = (error: Error | undefined, socket?: net.Socket) => void;

export function connect(to: string | DialInfo, done: Done): void {
  if (context === undefined) throw new Error("invalid state");
  const info = typeof to === "string" ? { service: to } : to;
  if (process.env["ZITI_LOG"] !== undefined) process.stderr.write(`openziti-addon: dials ${info.service}\n`);
  context.dial(info).then(
    async (remote) => done(undefined, await bridge(remote)),
    (error: Error) => done(new Error(/unauthorized/.test(String(error)) ? "not authorized" : "service not available")),
  );
}

export function ziti_shutdown(): void {
  void context?.close();
  context = undefined;
  for (const end of bridged) end.destroy();
}

/** The near end of a pair of sockets whose far end is joined with `remote`, as far as sockets let it: a death is an end. */
async function bridge(remote: Duplex): Promise<net.Socket> {
  const server = net.createServer({ allowHalfOpen: true });
  // A name without a file: nothing is left behind.
  await once(server.listen(`\0agyn-test-${randomUUID()}`), "listening");
  const near = net.connect(server.address() as string);
  const [far] = (await once(server, "connection")) as [net.Socket];
  server.close();
  for (const [from, to] of [
    [remote, far],
    [far, remote],
  ] as const) {
    bridged.add(from);
    from.pipe(to);
    from
      .on("error", () => {})
      .once("close", () => {
        bridged.delete(from);
        if (!from.readableEnded || !from.writableFinished) to.destroy();
      });
  }
  return near;
}
