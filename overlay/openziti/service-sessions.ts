import { z } from "zod";
import { OverlayError } from "../errors.ts";
import type { ApiSession } from "./api-session.ts";
import type { Router } from "./credential.ts";
import { clientApi, readBody, readData, tokenText, type Controller } from "./rest.ts";

/** A service that this identity may see. */
export interface Service {
  readonly id: string;
  readonly name: string;
  readonly encrypted: boolean;
  /** Whether it may be dialed, and hosted, from here. */
  readonly permissions: readonly ("Dial" | "Bind")[];
}

/** The permission to dial or host one service, and the routers to do it through. */
export interface ServiceSession {
  readonly name: string;
  readonly encrypted: boolean;
  readonly token: string;
  readonly routers: readonly Router[];
}

/** Services of one page of a list. */
const page_services = 500;
/** Services that are listed at most. */
const maxServices = 10_000;
/** Routers of one session that are used at most. */
const maxRouters = 16;

const serviceData = z.object({
  id: z.string().min(1),
  name: z.string(),
  encryptionRequired: z.boolean(),
  permissions: z.array(z.string()),
});
const serviceList = z.object({
  data: z.array(serviceData),
  meta: z.object({ pagination: z.object({ totalCount: z.number() }) }),
});
const sessionData = z.object({
  token: tokenText,
  edgeRouters: z.array(z.object({ name: z.string(), supportedProtocols: z.record(z.string(), z.string()) })).nullish(),
});

/** Everything that may be seen, up to 10,000 services. */
export async function listServices(
  controller: Controller,
  session: ApiSession,
  signal: AbortSignal,
): Promise<Service[]> {
  const services: Service[] = [];
  for (let total = 1; services.length < Math.min(total, maxServices);) {
    const query = `limit=${page_services}&offset=${services.length}`;
    const page = await readServices(controller, session, query, signal);
    if (page.data.length === 0) break;
    services.push(...page.data.map(toService));
    total = page.meta.pagination.totalCount;
  }
  return services;
}

/** Asks for permission. Rejects with an `OverlayError`: "unreachable" where there is no such service to be seen. */
export async function openServiceSession(
  controller: Controller,
  session: ApiSession,
  { name, type }: { readonly name: string; readonly type: "Dial" | "Bind" },
  signal: AbortSignal,
): Promise<ServiceSession> {
  const filter = encodeURIComponent(`name=${quoted(name)}`);
  const [service] = (await readServices(controller, session, `filter=${filter}&limit=1`, signal)).data;
  if (service === undefined)
    throw new OverlayError("unreachable", `there is no service ${name} that this identity may see`);

  const call = { method: "POST", path: `${clientApi}/sessions`, headers: session.headers() } as const;
  const answer = await controller.call({ ...call, json: { serviceId: service.id, type } }, signal);
  const what = `permission to ${type.toLowerCase()} service ${name}`;
  const { token, edgeRouters } = readData(answer, sessionData, what);
  const routers = (edgeRouters ?? []).flatMap((router) => toRouter(router.name, router.supportedProtocols["tls"]));
  if (routers.length === 0) throw new OverlayError("unreachable", `no router is on offer for service ${name}`);
  return { name, encrypted: service.encryptionRequired, token, routers: routers.slice(0, maxRouters) };
}

async function readServices(controller: Controller, session: ApiSession, query: string, signal: AbortSignal) {
  const path = `${clientApi}/services?${query}`;
  const answer = await controller.call({ method: "GET", path, headers: session.headers() }, signal);
  return readBody(answer, serviceList, "the list of services");
}

function toService({ id, name, encryptionRequired, permissions }: z.infer<typeof serviceData>): Service {
  const known = permissions.filter((permission) => permission === "Dial" || permission === "Bind");
  return { id, name, encrypted: encryptionRequired, permissions: known };
}

/** A router that can be reached by TLS, or nothing. */
function toRouter(name: string, address: string | undefined): Router[] {
  const url = address === undefined ? null : URL.parse(address);
  if (url === null || url.port === "") return [];
  return [{ name, host: url.hostname.replace(/^\[|\]$/g, ""), port: Number(url.port) }];
}

/** A text in the controller's filter language, which knows no escapes but these. */
function quoted(text: string): string {
  const escapes: Record<string, string> = {
    '"': '\\"',
    "\\": "\\\\",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
  };
  return `"${text.replaceAll(/["\\\f\n\r\t]/g, (character) => escapes[character] ?? character)}"`;
}
