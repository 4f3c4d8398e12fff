import { createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import type { ConnectRouter } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";

export interface TestServer extends AsyncDisposable {
  readonly gateway: string;
  /** Breaks every connection. */
  breakConnections(): void;
}

/** A server that answers as a test wants it to: the CLI must stand whatever it says. */
export async function startServer(routes: (router: ConnectRouter) => void): Promise<TestServer> {
  const server = createServer(connectNodeAdapter({ routes }));
  const sessions = new Set<{ destroy(): void }>();
  server.on("session", (session) => {
    sessions.add(session);
    session.on("close", () => sessions.delete(session));
    session.on("error", () => undefined);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const breakConnections = (): void => {
    for (const session of sessions) session.destroy();
  };
  return {
    gateway: `http://127.0.0.1:${port}`,
    breakConnections,
    async [Symbol.asyncDispose]() {
      breakConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
