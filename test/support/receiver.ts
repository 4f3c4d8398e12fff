import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** A request as a receiver of webhooks gets it. */
export type ReceivedRequest = { method: string; path: string; headers: [string, string][]; body: Buffer };

/** How the n-th request (from 0) is answered; undefined: not at all. */
export type Answer = (
  request: ReceivedRequest,
  index: number,
) => { status: number; location?: string; body?: string } | undefined;

export interface Receiver extends AsyncDisposable {
  readonly url: string;
  readonly received: ReceivedRequest[];
  /** The types of the events that came, in order. */
  types(): string[];
}

/** An HTTP server that keeps what it is sent. */
export async function openReceiver(answer: Answer = () => ({ status: 204 })): Promise<Receiver> {
  const received: ReceivedRequest[] = [];
  const server = createServer((incoming, response) => {
    void readBody(incoming).then((body) =>
      respond(response, { method: incoming.method ?? "", path: incoming.url ?? "", body, headers: pairsOf(incoming) }),
    );
  });
  const respond = (response: ServerResponse, request: ReceivedRequest) => {
    received.push(request);
    const answered = answer(request, received.length - 1);
    if (!answered) return;
    const { status, location, body = "" } = answered;
    response.writeHead(status, location === undefined ? {} : { location }).end(body);
  };
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    received,
    types: () => received.map(({ body }) => (JSON.parse(body.toString()) as { type: string }).type),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

async function readBody(incoming: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

function pairsOf({ rawHeaders }: IncomingMessage): [string, string][] {
  const pairs: [string, string][] = [];
  for (let index = 0; index < rawHeaders.length; index += 2) {
    pairs.push([rawHeaders[index]!.toLowerCase(), rawHeaders[index + 1]!]);
  }
  return pairs;
}
