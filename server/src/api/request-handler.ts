import type http from "node:http";
import type http2 from "node:http2";
import {
  createServiceImplSpec,
  type ConnectRouter,
  type ContextValues,
  type Interceptor,
  type ServiceImplSpec,
} from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { createGrpcCalls } from "./grpc-calls.ts";

type Request = http.IncomingMessage | http2.Http2ServerRequest;

type Response = http.ServerResponse | http2.Http2ServerResponse;

/** Answers one request of either version of HTTP. */
export type RequestHandler = (request: Request, response: Response) => void;

export type RequestHandlerOptions = {
  routes: (router: ConnectRouter) => void;
  interceptors: Interceptor[];
  /** Bytes of a message that is read. */
  readMaxBytes: number;
  contextValues: (request: Request) => ContextValues;
};

/**
 * Serves the contract. The adapter throws where a request cannot be read at all, such as one whose host is none or not a host; what
 * it throws ends that request, and never the server.
 */
export function createRequestHandler(options: RequestHandlerOptions): RequestHandler {
  const services: ServiceImplSpec[] = [];
  const handle = connectNodeAdapter({ ...options, routes: (router) => options.routes(noting(router, services)) });
  const takeOver = createGrpcCalls({ ...options, services });
  return (request, response) => {
    try {
      const values = () => options.contextValues(request);
      const isTaken = "stream" in request && takeOver(request, response as http2.Http2ServerResponse, values);
      if (isTaken) return;
      freeOnClose(response);
      handle(request, response);
    } catch {
      refuse(response as http.ServerResponse);
    }
  };
}

/**
 * Where a caller of HTTP/2 leaves while a write of more than the buffer is under way, Node tells that write nothing, and the adapter
 * would wait for it for ever, and hold what the method holds. Told to go on, it meets a closed stream at its next write.
 */
function freeOnClose(response: Response): void {
  (response as http.ServerResponse).once("close", () => response.emit("drain"));
}

/** The router, noting down what is handed to it. */
function noting(router: ConnectRouter, services: ServiceImplSpec[]): ConnectRouter {
  const noted: ConnectRouter = {
    ...router,
    service(service, implementation, options) {
      services.push(createServiceImplSpec(service, implementation));
      router.service(service, implementation, options);
      return noted;
    },
  };
  return noted;
}

function refuse(response: http.ServerResponse): void {
  if (response.headersSent) return void response.destroy();
  response.writeHead(400, { "content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff" });
  response.end("the request's host or path cannot be read\n");
}
