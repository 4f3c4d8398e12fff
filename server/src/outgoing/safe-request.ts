/* Calls to addresses that people gave: never to what only this server reaches. */
import { lookup as resolve, type LookupAddress } from "node:dns";
import http from "node:http";
import https from "node:https";
import { BlockList, isIP, type LookupFunction } from "node:net";

export type OutgoingRequest = { method: string; url: string; headers: Record<string, string>; body: string };
export type OutgoingAnswer = { status: number; body: string };
export type OutgoingOptions = {
  /** Also addresses of this machine and of private networks. */
  allowPrivate: boolean;
  timeout_ms: number;
};

/** What is read of an answer. */
const answerLimit_bytes = 65_536;

const inner = new BlockList();
for (const [network, prefix] of [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.168.0.0", 16],
  ["198.18.0.0", 15],
  ["224.0.0.0", 3],
] as const)
  inner.addSubnet(network, prefix, "ipv4");
/** Of IPv6 only what is routed in public, without the forms that carry an IPv4 address. */
const routed = new BlockList();
routed.addSubnet("2000::", 3, "ipv6");
const carriers = new BlockList();
carriers.addSubnet("2002::", 16, "ipv6");
carriers.addSubnet("2001::", 32, "ipv6");

/** Whether an address is of the public network. */
export function isPublicAddress(address: string): boolean {
  if (isIP(address) === 4) return !inner.check(address, "ipv4");
  return isIP(address) === 6 && routed.check(address, "ipv6") && !carriers.check(address, "ipv6");
}

/** Sends a request; a redirect is an answer like any other and is not followed. Throws where it cannot be sent or takes too long. */
export async function sendRequest(
  { method, url, headers, body }: OutgoingRequest,
  { allowPrivate, timeout_ms }: OutgoingOptions,
): Promise<OutgoingAnswer> {
  const target = new URL(url);
  const literal = target.hostname.replace(/^\[|\]$/g, "");
  if (!allowPrivate && isIP(literal) !== 0 && !isPublicAddress(literal)) throw refused(literal);
  const { request } = target.protocol === "https:" ? https : http;
  const options = {
    method,
    headers: { ...headers, "content-length": String(Buffer.byteLength(body)) },
    // The address that was looked at is the one that is dialed.
    lookup: allowPrivate ? undefined : lookupPublic,
    agent: false,
    signal: AbortSignal.timeout(timeout_ms),
  };
  return new Promise((settle, reject) => {
    const outgoing = request(target, options, (response) => {
      const chunks: Buffer[] = [];
      let length = 0;
      response.on("data", (chunk: Buffer) => {
        length += chunk.length;
        chunks.push(chunk);
        if (length > answerLimit_bytes)
          response.destroy(new Error(`the answer is larger than ${answerLimit_bytes} bytes`));
      });
      response.once("end", () => settle({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() }));
      response.once("error", reject);
    });
    outgoing.once("error", reject);
    // Whoever answers by switching protocols gives neither an answer nor an error.
    outgoing.once("close", () => reject(new Error("the connection was closed without an answer")));
    outgoing.end(body);
  });
}

const lookupPublic: LookupFunction = (host, options, done) => {
  resolve(host, { ...options, all: true }, (error, found) => {
    const addresses = found as LookupAddress[] | undefined;
    if (error) return done(error, "");
    // To which address a name leads in here is not for whoever gave the name.
    if (!addresses!.every(({ address }) => isPublicAddress(address))) return done(refused(host), "");
    if (options.all) return (done as unknown as (error: null, all: LookupAddress[]) => void)(null, addresses!);
    const [{ address, family }] = addresses as [LookupAddress];
    return done(null, address, family);
  });
};

function refused(host: string): Error {
  return new Error(`${host} is an address of this machine or of a private network (outgoing_private allows them)`);
}
