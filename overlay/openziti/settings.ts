import type { ClientLabel } from "./credential.ts";

/** The times and bounds that this client goes by. */
export interface Settings {
  readonly label: ClientLabel;
  /** For a dial or a first bind as a whole, and for each router. */
  readonly connectTimeout_ms: number;
  /** How often each router is asked whether it is still there, and how long it may take to answer. */
  readonly probeInterval_ms: number;
  readonly probeTimeout_ms: number;
  /** The first back-off after a failure; doubled five times at most, and random below that. */
  readonly backOff_ms: number;
  /** How often a renewed credential is looked for where nothing is dialed. */
  readonly credentialCheck_ms: number;
  /** What may wait for the reader of one connection. */
  readonly maxReceive_bytes: number;
  /** Connections accepted at one time. */
  readonly maxConnections: number;
  /** Routers through which one service is hosted. */
  readonly maxBindings: number;
}

/** What is right unless a network is very slow or very busy. */
export const defaultSettings: Settings = {
  label: { name: "agyn", version: "1" },
  connectTimeout_ms: 20_000,
  probeInterval_ms: 30_000,
  probeTimeout_ms: 10_000,
  backOff_ms: 1000,
  credentialCheck_ms: 60_000,
  maxReceive_bytes: 4 * 1024 * 1024,
  maxConnections: 20_000,
  maxBindings: 3,
};
