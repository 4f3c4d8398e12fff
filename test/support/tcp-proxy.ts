import { once } from "node:events";
import net from "node:net";

/** A TCP hop of the tests that can lose what passes through it. */
export interface TcpProxy extends AsyncDisposable {
  /** Where to dial, as `host:port`. */
  readonly address: string;
  readonly port: number;
  /** Connections that pass now. */
  readonly open: number;
  /** Bytes passed from clients to the target, and back. */
  readonly passed: { readonly up: number; readonly down: number };
  /** Resets each connection and refuses new ones until `restore`. */
  cut(): void;
  /**
   * Loses bytes in silence until `restore`: no FIN, no reset; a new connection is taken and never answered. What is lost
   * stays lost: connections that lost something never speak again, and are reset by `restore`. `"down"` loses the
   * target's answers only.
   */
  blackhole(direction?: "both" | "down"): void;
  /** Holds bytes back, in order and without loss, until `restore`. */
  pause(): void;
  restore(): void;
  close(): Promise<void>;
}

type Mode = "pass" | "cut" | "pause" | "blackhole" | "blackhole-down";
type Connection = { client: net.Socket; upstream: net.Socket | undefined; lost: Set<"up" | "down"> };

/** Opens a proxy on a port of its own before `target` (`host:port`, or a function that tells it for each connection). */
export async function createTcpProxy(target: string | (() => string)): Promise<TcpProxy> {
  const connections = new Set<Connection>();
  const passed = { up: 0, down: 0 };
  let mode: Mode = "pass";
  const loses = (way: "up" | "down") => mode === "blackhole" || (mode === "blackhole-down" && way === "down");

  const end = (connection: Connection) => {
    connections.delete(connection);
    for (const socket of [connection.client, connection.upstream]) {
      if (socket === undefined || socket.destroyed) continue;
      if (socket.connecting) socket.destroy();
      else socket.resetAndDestroy();
    }
  };
  const carry = (connection: Connection, way: "up" | "down", from: net.Socket, to: net.Socket) => {
    const losesNow = () => {
      if (loses(way)) connection.lost.add(way);
      return connection.lost.has(way);
    };
    from.on("data", (bytes: Buffer) => {
      if (losesNow()) return;
      passed[way] += bytes.length;
      if (!to.write(bytes)) from.pause();
    });
    to.on("drain", () => mode !== "pause" && from.resume());
    from.on("end", () => {
      if (!losesNow()) to.end();
    });
    from.on("error", () => {});
    from.on("close", () => {
      if (!losesNow()) end(connection);
    });
    if (mode === "pause") from.pause();
  };
  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    const connection: Connection = { client, upstream: undefined, lost: new Set() };
    if (mode === "cut") return client.resetAndDestroy();
    connections.add(connection);
    if (mode === "blackhole") {
      connection.lost.add("up");
      client.on("data", () => {}).on("error", () => {});
      return undefined;
    }
    const [host, port] = split(typeof target === "string" ? target : target());
    const upstream = net.connect({ host, port, allowHalfOpen: true, noDelay: true });
    connection.upstream = upstream;
    carry(connection, "up", client, upstream);
    carry(connection, "down", upstream, client);
    return undefined;
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as net.AddressInfo;

  const turn = (next: Mode) => {
    mode = next;
    for (const connection of connections) {
      if (mode === "cut" || (mode === "pass" && connection.lost.size > 0)) end(connection);
      const sockets = [connection.client, connection.upstream];
      for (const socket of sockets) if (mode === "pause") socket?.pause();
      for (const socket of sockets) if (mode !== "pause") socket?.resume();
    }
  };
  const proxy: TcpProxy = {
    address: `127.0.0.1:${port}`,
    port,
    get open() {
      return connections.size;
    },
    passed,
    cut: () => turn("cut"),
    blackhole: (direction = "both") => turn(direction === "both" ? "blackhole" : "blackhole-down"),
    pause: () => turn("pause"),
    restore: () => turn("pass"),
    async close() {
      turn("cut");
      await new Promise((done) => server.close(done));
    },
    [Symbol.asyncDispose]: () => proxy.close(),
  };
  return proxy;
}

function split(address: string): [host: string, port: number] {
  const colon = address.lastIndexOf(":");
  return [address.slice(0, colon), Number(address.slice(colon + 1))];
}
