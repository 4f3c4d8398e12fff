import { once } from "node:events";
import http from "node:http";
import net from "node:net";

export interface HttpProxy {
  readonly url: string;
  /** The requests that came, as the `host:port` of a CONNECT or else the URL, and the credentials shown. */
  readonly asked: { target: string; authorization: string | undefined }[];
  close(): Promise<void>;
}

export interface HttpProxyOptions {
  /** What every CONNECT is answered with. */
  status?: number;
  /** Where the `host:port`s are that only the proxy knows. */
  places?: Readonly<Record<string, string>>;
}

/** A proxy that opens tunnels by CONNECT, and forwards other requests. */
export async function openHttpProxy({ status = 200, places = {} }: HttpProxyOptions = {}): Promise<HttpProxy> {
  const asked: HttpProxy["asked"] = [];
  const sockets = new Set<net.Socket>();
  const server = http.createServer();
  server.on("connection", (socket) => sockets.add(socket));
  server.on("connect", (request, client: net.Socket) => {
    const target = request.url ?? "";
    asked.push({ target, authorization: request.headers["proxy-authorization"] });
    if (status !== 200) return client.end(`HTTP/1.1 ${status} No\r\n\r\n`);

    const { hostname, port } = new URL(`http://${places[target] ?? target}`);
    const upstream = net.connect({ host: hostname, port: Number(port) }, () => {
      client.write("HTTP/1.1 200 Connection established\r\nX-Proxy: test\r\n\r\n");
      client.pipe(upstream).pipe(client);
    });
    sockets.add(upstream);
    for (const socket of [client, upstream]) socket.on("error", () => {});
    upstream.on("close", () => client.destroy());
    client.on("close", () => upstream.destroy());
    return undefined;
  });
  server.on("request", (request, response) => {
    const url = new URL(request.url ?? "");
    asked.push({ target: url.href, authorization: request.headers["proxy-authorization"] });
    const { hostname, port } = new URL(`http://${places[`${url.hostname}:${url.port || 80}`] ?? url.host}`);
    const { method = "", headers } = request;
    const upstream = http.request({ hostname, port, method, headers, path: url.pathname }, (answer) => {
      answer.pipe(response.writeHead(answer.statusCode ?? 502, answer.headers));
    });
    upstream.on("error", () => response.destroy());
    request.pipe(upstream);
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as net.AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    asked,
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((done) => server.close(done));
    },
  };
}
