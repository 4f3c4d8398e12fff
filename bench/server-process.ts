/** A control plane in a process of its own: its configuration comes as an argument, its address goes to the parent. */
import pino from "pino";
import { settle, toConfig } from "../server/src/config.ts";
import { openServer } from "../server/src/server.ts";
import type { DatabaseTarget } from "../server/src/store/database.ts";

/** What the parent is told, once the server serves. */
export type ServerReady = { gateway: string };

const { flags, database } = JSON.parse(process.argv[2]!) as { flags: Record<string, string>; database: DatabaseTarget };
const server = await openServer(toConfig(settle(flags, {}, undefined)), pino({ level: "warn" }), database);
process.send!({ gateway: server.gateway } satisfies ServerReady);
process.once("disconnect", () => void server.close());
