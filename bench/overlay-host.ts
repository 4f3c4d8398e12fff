/** The accepting end of the overlay benchmark, in a process of its own. */
import type { Duplex } from "node:stream";
import { openSecureServer, type SecureServerOptions } from "../overlay/secure-server.ts";
import { createOverlay, give, uses, type Endpoints, type Network, type Use } from "./overlay-terms.ts";

/** Its argument, as JSON. */
export type HostTerms = {
  network: Network | undefined;
  secure: Pick<SecureServerOptions, "keyPem" | "chainPem" | "rootPem" | "clientIssuersPem">;
};
/** What the parent is told, once it accepts. */
export type HostReady = { endpoints: Endpoints };

const use: Record<Use, (stream: Duplex) => void> = {
  echo: (stream) => void stream.on("data", (bytes) => stream.write(bytes)).once("end", () => stream.end()),
  take: (stream) => void stream.resume().once("end", () => stream.end("all of it")),
  both: (stream) => void give(stream.resume()).catch(() => stream.destroy()),
};

const { network, secure } = JSON.parse(process.argv[2]!) as HostTerms;
const overlay = createOverlay(network);
const server = openSecureServer({
  ...secure,
  onRequest({ url, stream }) {
    stream.respond({ ":status": 200 });
    use[url.slice(1) as Use](stream);
  },
});
const endpoints: Partial<Endpoints> = {};
for (const name of uses) endpoints[name] = (await overlay.listen(name, use[name])).address;
const accept = server.accept.bind(server);
const secured = await overlay.listen("secured", accept);
process.send!({ endpoints: { ...(endpoints as Endpoints), secured: secured.address } } satisfies HostReady);
process.once("disconnect", () => process.exit());
