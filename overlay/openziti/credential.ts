import type { HostAndPort } from "../tcp.ts";

/** What this client shows to controllers and routers, and by which it knows them. */
export interface Credential {
  /** PKCS #8 PEM. */
  readonly keyPem: string;
  /** The leaf, and its intermediates where there are some. */
  readonly certPem: string;
  /** The authorities of the controller and the routers. Nothing else is trusted. */
  readonly caPem: string;
}

/** A router that may carry a connection. */
export interface Router extends HostAndPort {
  readonly name: string;
}

/** How the client names itself to controllers, routers and hosts: for people, nobody trusts it. */
export interface ClientLabel {
  readonly name: string;
  readonly version: string;
}
