import type http from "node:http";
import type http2 from "node:http2";
import { connectNodeAdapter, type ConnectNodeAdapterOptions } from "@connectrpc/connect-node";

/** Answers one request of either version of HTTP. */
export type RequestHandler = (
  request: http.IncomingMessage | http2.Http2ServerRequest,
  response: http.ServerResponse | http2.Http2ServerResponse,
) => void;

/**
 * Serves the contract. The adapter throws where a request cannot be read at all, such as one whose host is none or not a host; what
 * it throws ends that request, and never the server.
 */
export function createRequestHandler(options: ConnectNodeAdapterOptions): RequestHandler {
  const handle = connectNodeAdapter(options);
  return (request, response) => {
    try {
      handle(request, response);
    } catch {
      refuse(response as http.ServerResponse);
    }
  };
}

function refuse(response: http.ServerResponse): void {
  if (response.headersSent) return void response.destroy();
  response.writeHead(400, { "content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff" });
  response.end("the request's host or path cannot be read\n");
}
