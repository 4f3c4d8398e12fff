/** The plainest way of bytes over HTTP, in a process of its own: a PUT is a file that is fsynced before the answer, a GET reads it. */
import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { pipeline } from "node:stream/promises";

/** What the parent is told, once it serves. */
export type FileServerReady = { url: string };

const path = process.argv[2]!;

async function keep(request: http.IncomingMessage): Promise<void> {
  const file = await open(path, "w");
  try {
    await file.writeFile(request);
    await file.sync();
  } finally {
    await file.close();
  }
}

const server = http.createServer((request, response) => {
  const serve = async () => {
    if (request.method === "GET") return pipeline(createReadStream(path), response);
    await keep(request);
    response.end();
  };
  serve().catch(() => response.destroy());
});
server.listen(0, "127.0.0.1", () => {
  const { port } = server.address() as AddressInfo;
  process.send!({ url: `http://127.0.0.1:${port}` } satisfies FileServerReady);
});
process.once("disconnect", () => server.close());
