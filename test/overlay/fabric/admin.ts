import type { Fabric } from "../../support/fabric/fabric.ts";
import { rest, type RestAnswer } from "./raw-client.ts";

/** An administrator's session, call by call. */
export interface Admin {
  call(request: string, body?: unknown): Promise<RestAnswer>;
  /** Creates a record and returns its id; throws what the controller says otherwise. */
  create(kind: string, body: object): Promise<string>;
  /** The records of a list, and how many there are in all. */
  list(path: string): Promise<{ readonly names: unknown[]; readonly total: number }>;
}

/** Logs in by password. */
export async function loginAdmin(fabric: Fabric): Promise<Admin> {
  const base = "/edge/management/v1";
  const { username, password } = fabric.admin;
  const login = await rest(fabric, `POST ${base}/authenticate?method=password`, { body: { username, password } });
  const headers = { "zt-session": String(login.json().data["token"]) };
  const call: Admin["call"] = async (request, body) => {
    const [method = "", path = ""] = request.split(/ (.*)/s);
    return rest(fabric, `${method} ${base}${path}`, { headers, body });
  };
  return {
    call,
    async create(kind, body) {
      const answer = await call(`POST /${kind}`, body);
      if (answer.status !== 201) throw new Error(`${answer.status} ${answer.text}`);
      return String(answer.json().data["id"]);
    },
    async list(path) {
      const { data, meta } = (await call(`GET /${path}`)).json();
      const rows = data as unknown as { readonly name: unknown }[];
      const { totalCount } = meta["pagination"] as { readonly totalCount: number };
      return { names: rows.map(({ name }) => name), total: totalCount };
    },
  };
}
