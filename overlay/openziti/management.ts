import { z } from "zod";
import { OverlayError } from "../errors.ts";
import { createController, readData, readFailure, tokenText, type Answer, type Call, type Controller } from "./rest.ts";
import { createControllerList, type ControllerUrls } from "./controller-list.ts";
import type { Credential } from "./credential.ts";
import { abortable } from "./waiting.ts";

/** What is kept on a controller, by the names of its management API. */
export type EntityKind =
  | "auth-policies"
  | "cas"
  | "identities"
  | "services"
  | "service-policies"
  | "edge-router-policies"
  | "service-edge-router-policies";

/** One record, with whatever fields its kind has. */
export type Entity = { readonly id: string; readonly name: string } & Readonly<Record<string, unknown>>;

/** Who may manage: a certificate of an administrator's identity, or a name and password. */
export type Administrator =
  | { readonly kind: "certificate"; readonly keyPem: string; readonly certPem: string }
  | { readonly kind: "password"; readonly username: string; readonly password: string };

/** An edge router, and whether the controller hears of it. */
export type EdgeRouter = { readonly name: string; readonly isOnline: boolean };

/** Whether an identity may dial and host a service, and over which routers. */
export type Advice = {
  readonly isDialAllowed: boolean;
  readonly isBindAllowed: boolean;
  readonly identityRouters: number;
  readonly serviceRouters: number;
  readonly commonRouters: readonly EdgeRouter[];
};

/**
 * The management API of a controller, as an administrator. Everything rejects with an `OverlayError`: "unauthorized" for what the
 * controller refuses, "unreachable" where it is away, or with the reason of `signal`.
 */
export interface Management {
  version(signal: AbortSignal): Promise<{ version: string; date: Date | undefined }>;
  /** All records of a kind that a filter matches, in the controller's language of filters; see `quoted`. */
  list(kind: EntityKind, filter: string, signal: AbortSignal): Promise<Entity[]>;
  /** `undefined` where there is none. */
  get(kind: EntityKind, id: string, signal: AbortSignal): Promise<Entity | undefined>;
  /** Returns the id. */
  create(kind: EntityKind, fields: object, signal: AbortSignal): Promise<string>;
  change(kind: EntityKind, id: string, fields: object, signal: AbortSignal): Promise<void>;
  /** That it was gone already is no error. */
  remove(kind: EntityKind, id: string, signal: AbortSignal): Promise<void>;
  /** Shows that the authority is ours: a certificate by it, whose common name is the token that the record shows. */
  verifyAuthority(id: string, certificatePem: string, signal: AbortSignal): Promise<void>;
  setEnabled(identityId: string, isEnabled: boolean, signal: AbortSignal): Promise<void>;
  /**
   * Lets an identity enroll once, until `expireTime`: returns the token that is exchanged for a certificate. What it logged in with
   * before is good no more.
   */
  openEnrollment(identityId: string, expireTime: Date, signal: AbortSignal): Promise<string>;
  routers(signal: AbortSignal): Promise<EdgeRouter[]>;
  /** How many hosts a service has now, up to 500. */
  countTerminators(serviceId: string, signal: AbortSignal): Promise<number>;
  advice(identityId: string, serviceId: string, signal: AbortSignal): Promise<Advice>;
  close(): void;
}

const api = "/edge/management/v1";
/** The most that a controller hands out at once. */
const page = 500;
/** Records of one kind that are listed at most. */
const maxRecords = 500_000;

const version = z.object({ version: z.string() });
const login = z.object({ token: tokenText });
const created = z.object({ id: z.string().min(1) });
const entity = z.looseObject({ id: z.string(), name: z.string() });
const enrolling = z.object({
  authenticators: z.object({ cert: z.object({ id: z.string() }).nullish() }).nullish(),
  enrollment: z.object({ ott: z.object({ id: z.string() }).nullish() }).nullish(),
});
const enrollmentToken = z.object({ token: tokenText });
const routerSchema = z.object({ name: z.string(), isOnline: z.boolean().default(false) });
const advice = z.object({
  isDialAllowed: z.boolean(),
  isBindAllowed: z.boolean(),
  identityRouterCount: z.number(),
  serviceRouterCount: z.number(),
  commonRouters: z.array(routerSchema).nullish(),
});

/** A text as filters quote it. */
export function quoted(text: string): string {
  const escaped = text.replaceAll("\\", "\\\\").replaceAll('"', '\\"');
  return `"${escaped.replaceAll("\n", "\\n").replaceAll("\r", "\\r").replaceAll("\t", "\\t").replaceAll("\f", "\\f")}"`;
}

/** Opens nothing yet: the first call logs in. Throws where one of `urls` is no controller's. */
export function openManagement(urls: ControllerUrls, caPem: string, administrator: Administrator): Management {
  const credential: Pick<Credential, "caPem"> & Partial<Credential> =
    administrator.kind === "certificate" ? { ...administrator, caPem } : { caPem };
  const controller = createController(createControllerList(urls), credential);
  const closing = new AbortController();
  const call = createCaller(controller, administrator, closing.signal);
  const read = async <T>(path: string, schema: z.ZodType<T>, what: string, signal: AbortSignal) =>
    readData(await call({ method: "GET", path: `${api}/${path}` }, signal), schema, what);
  const act = async (of: Omit<Call, "path"> & { path: string }, what: string, signal: AbortSignal) => {
    const answer = await call({ ...of, path: `${api}/${of.path}` }, signal);
    if (answer.status > 299) throw readFailure(answer, what);
  };

  return {
    async version(signal) {
      const answer = await controller.call({ method: "GET", path: `${api}/version` }, signal);
      const date = new Date(answer.headers.date ?? "");
      const known = readData(answer, version, "the controller's version");
      return { version: known.version, date: Number.isNaN(date.getTime()) ? undefined : date };
    },
    async list(kind, filter, signal) {
      const found: Entity[] = [];
      for (;;) {
        const text = `${filter} sort by id skip ${found.length} limit ${page}`;
        const path = `${kind}?filter=${encodeURIComponent(text)}`;
        const some = await read(path, z.array(entity), `listing ${kind}`, signal);
        found.push(...some);
        if (some.length < page) return found;
        if (found.length > maxRecords)
          throw new OverlayError("exhausted", `the controller lists more than ${maxRecords} of ${kind}`);
      }
    },
    async get(kind, id, signal) {
      const answer = await call({ method: "GET", path: `${api}/${kind}/${id}` }, signal);
      return answer.status === 404 ? undefined : readData(answer, entity, `reading one of ${kind}`);
    },
    async create(kind, json, signal) {
      const answer = await call({ method: "POST", path: `${api}/${kind}`, json }, signal);
      return readData(answer, created, `creating one of ${kind}`).id;
    },
    change: (kind, id, json, signal) =>
      act({ method: "PATCH", path: `${kind}/${id}`, json }, `changing one of ${kind}`, signal),
    async remove(kind, id, signal) {
      const answer = await call({ method: "DELETE", path: `${api}/${kind}/${id}` }, signal);
      if (answer.status > 299 && answer.status !== 404) throw readFailure(answer, `removing one of ${kind}`);
    },
    verifyAuthority: (id, text, signal) =>
      act({ method: "POST", path: `cas/${id}/verify`, text }, "showing that an authority is ours", signal),
    setEnabled: (id, isEnabled, signal) =>
      isEnabled
        ? act({ method: "POST", path: `identities/${id}/enable` }, "enabling an identity", signal)
        : act(
            { method: "POST", path: `identities/${id}/disable`, json: { durationMinutes: 0 } },
            "disabling an identity",
            signal,
          ),
    async openEnrollment(identityId, expireTime, signal) {
      const what = "letting an identity enroll";
      const { authenticators, enrollment } = await read(`identities/${identityId}`, enrolling, what, signal);
      const [open, certificate] = [enrollment?.ott?.id, authenticators?.cert?.id];
      const json = { expiresAt: expireTime.toISOString() };
      const post = async (path: string, body: object) =>
        readData(await call({ method: "POST", path: `${api}/${path}`, json: body }, signal), created, what).id;
      if (open !== undefined) await post(`enrollments/${open}/refresh`, json);
      const again = () =>
        certificate === undefined
          ? post("enrollments", { method: "ott", identityId, ...json })
          : post(`authenticators/${certificate}/re-enroll`, json);
      return (await read(`enrollments/${open ?? (await again())}`, enrollmentToken, what, signal)).token;
    },
    routers: (signal) => read(`edge-routers?limit=${page}`, z.array(routerSchema), "listing routers", signal),
    async countTerminators(serviceId, signal) {
      const filter = encodeURIComponent(`service=${quoted(serviceId)}`);
      const rows = await read(
        `terminators?limit=${page}&filter=${filter}`,
        z.array(z.unknown()),
        "listing hosts",
        signal,
      );
      return rows.length;
    },
    async advice(identityId, serviceId, signal) {
      const path = `identities/${identityId}/policy-advice/${serviceId}`;
      const told = await read(path, advice, "asking for advice", signal);
      const { isDialAllowed, isBindAllowed, identityRouterCount, serviceRouterCount, commonRouters } = told;
      return {
        isDialAllowed,
        isBindAllowed,
        identityRouters: identityRouterCount,
        serviceRouters: serviceRouterCount,
        commonRouters: commonRouters ?? [],
      };
    },
    close() {
      closing.abort(new OverlayError("cancelled", "the network is managed no more"));
      controller.close();
    },
  };
}

/** Calls with a session, which is opened at the first call and again where the controller knows it no more. */
function createCaller(controller: Controller, administrator: Administrator, closing: AbortSignal) {
  let session: Promise<string> | undefined;

  async function open(): Promise<string> {
    const method = administrator.kind === "certificate" ? "cert" : "password";
    const { username, password } = administrator.kind === "password" ? administrator : {};
    const json = administrator.kind === "password" ? { username, password } : {};
    const answer = await controller.call(
      { method: "POST", path: `${api}/authenticate?method=${method}`, json },
      closing,
    );
    return readData(answer, login, "the administrator's login").token;
  }

  return async (call: Call, signal: AbortSignal): Promise<Answer> => {
    for (let attempt = 0; ; attempt++) {
      // Others may wait for the same login, so that who gives up does not end it.
      const opened = (session ??= open().catch((error: unknown) => {
        session = undefined;
        throw error;
      }));
      const token = await abortable(opened, signal);
      const answer = await controller.call({ ...call, headers: { ...call.headers, "zt-session": token } }, signal);
      if (answer.status !== 401) return answer;

      if (session === opened) session = undefined;
      if (attempt > 0)
        throw new OverlayError("unauthorized", "the controller takes none of the administrator's sessions");
    }
  };
}
