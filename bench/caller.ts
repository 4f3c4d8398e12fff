/**
 * Calls of StartWorkload that cost the caller little, since callers share the processor with the server that is measured:
 * gRPC by HTTP/2 alone, over one connection, with a request that is encoded once.
 */
import { once } from "node:events";
import http2 from "node:http2";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  StartWorkloadRequestSchema,
  StartWorkloadResponseSchema,
} from "../proto/gen/agyn/orchestrator/v1/orchestrator_service_pb.ts";
import type { ControlPlane } from "./control-plane.ts";
import { noop } from "./workload.ts";

export interface Caller extends Disposable {
  /** Starts a workload that does nothing; answers its id. */
  start(): Promise<string>;
}

const path = "/agyn.orchestrator.v1.OrchestratorService/StartWorkload";
/** A flag and a length stand before each message. */
const prefix_bytes = 5;

/** Connects as the first user. */
export async function openCaller({ gateway, token }: ControlPlane): Promise<Caller> {
  const session = http2.connect(gateway);
  await once(session, "connect");
  const headers = {
    ":method": "POST",
    ":path": path,
    "content-type": "application/grpc+proto",
    te: "trailers",
    authorization: `Bearer ${token}`,
  };
  const body = enveloped(toBinary(StartWorkloadRequestSchema, create(StartWorkloadRequestSchema, noop)));
  return {
    start() {
      const { promise, resolve, reject } = Promise.withResolvers<string>();
      const stream = session.request(headers);
      const chunks: Buffer[] = [];
      let status: unknown;
      stream.on("response", (answer) => (status = answer["grpc-status"]));
      stream.on("trailers", (trailers) => (status = trailers["grpc-status"]));
      stream.on("data", (chunk: Buffer) => chunks.push(chunk));
      stream.on("error", reject);
      stream.on("end", () => {
        if (status === "0") resolve(idOf(Buffer.concat(chunks)));
        else reject(new Error(`a start was refused with status ${String(status)}`));
      });
      stream.end(body);
      return promise;
    },
    [Symbol.dispose]() {
      session.close();
    },
  };
}

function enveloped(message: Uint8Array): Buffer {
  const envelope = Buffer.alloc(prefix_bytes + message.length);
  envelope.writeUInt32BE(message.length, 1);
  envelope.set(message, prefix_bytes);
  return envelope;
}

function idOf(envelope: Buffer): string {
  return fromBinary(StartWorkloadResponseSchema, envelope.subarray(prefix_bytes)).workload!.id;
}
