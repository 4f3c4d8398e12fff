import { once } from "node:events";
import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { ConnectError } from "@connectrpc/connect";
import { streamOptions, type ControlPlane } from "./client.ts";
import type { Context } from "./context.ts";
import { errorReason } from "./errors.ts";
import { exitCodes, Failure } from "./failures.ts";
import type { Ports } from "./ports.ts";
import { write } from "./terminal.ts";
import { TunnelInputs } from "./tunnel-inputs.ts";

/** Connections to a port here at one time: as many as the control plane lets into one workload. */
const maximumConnections = 32;
const loopback = /^(127\.|::1$|localhost$)/;

export type Forwards = { workload: string; address: string; wanted: readonly Ports[] };

/** Listens and carries connections until Ctrl-C, or until there is no way into the workload any more. */
export async function openForwards(context: Context, { workload, address, wanted }: Forwards): Promise<number> {
  const { terminal, output, organization } = context;
  const { tunnels } = await context.controlPlane();
  const over = Promise.withResolvers<unknown>();
  const servers: Server[] = [];
  const sockets = new Set<Socket>();
  if (!loopback.test(address)) await output.note(`whoever reaches ${address} reaches the workload`, "warning");
  try {
    for (const { here, there } of wanted) {
      const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
        sockets.add(socket);
        socket.once("close", () => sockets.delete(socket));
        carry(socket, tunnels, { workload, organization, start: { port: there } }).catch(async (error: unknown) => {
          socket.destroy();
          if (terminal.signal.aborted) return;
          if (errorReason(error) === "UNAVAILABLE" || errorReason(error) === "LIMIT")
            await output.note(`port ${there}: ${ConnectError.from(error).rawMessage}`, "warning");
          else over.reject(error);
        });
      });
      servers.push(server);
      await listen(server, { address, port: here });
      const { port } = server.address() as AddressInfo;
      const shown = address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
      await output.document(
        () => ({ address: shown, port: there }),
        `${shown} leads to port ${there} of ${workload}\n`,
      );
    }
    terminal.signal.addEventListener("abort", over.resolve, { once: true });
    if (terminal.signal.aborted) over.resolve(undefined);
    await over.promise;
    return exitCodes.interrupted;
  } finally {
    for (const server of servers) server.close();
    for (const socket of sockets) socket.destroy();
  }
}

async function listen(server: Server, { address, port }: { address: string; port: number }): Promise<void> {
  server.maxConnections = maximumConnections;
  server.listen(port, address);
  try {
    await once(server, "listening");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new Failure(`cannot listen on ${address}:${port} (${code})`, exitCodes.failure, "choose another port here");
  }
}

type Wanted = { workload: string; organization: string; start: { port: number } };

/** One connection, to its end on both sides. */
async function carry(socket: Socket, tunnels: ControlPlane["tunnels"], wanted: Wanted): Promise<void> {
  const gone = new AbortController();
  socket.on("error", () => undefined);
  socket.once("close", () => gone.abort());
  const inputs = new TunnelInputs(wanted);
  const sending = async (): Promise<void> => {
    await inputs.sendAll(socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>);
    await inputs.say({ case: "end", value: {} });
  };
  try {
    for await (const { output } of tunnels.forward(inputs.requests(), { ...streamOptions, signal: gone.signal })) {
      const kind = output?.kind;
      if (kind?.case === "started") sending().catch(() => socket.destroy());
      if (kind?.case === "data") await write(socket, kind.value);
      if (kind?.case === "end") socket.end();
    }
  } catch (error) {
    if (!gone.signal.aborted) throw error;
  }
}
