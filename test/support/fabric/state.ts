import type { FabricAuthority, KeyPair } from "./pki.ts";
import type { Model } from "./model.ts";

/** The releases whose behaviour the double knows. */
export type FabricVersion = "1.6.20" | "2.0.3";

/** How long things live at the controller, in ms. */
export interface Lives {
  /** An API session that nobody uses. */
  readonly session_ms: number;
  readonly accessToken_ms: number;
  readonly refreshToken_ms: number;
  readonly enrollment_ms: number;
}

/** Another address of a router, for the identities whose names `isFor` takes: the same name leads elsewhere in their DNS. */
export interface Detour {
  readonly routerId: string;
  readonly address: string;
  isFor(identityName: string): boolean;
}

/** What all parts of the controller share. */
export interface ControllerState {
  readonly version: FabricVersion;
  readonly oidc: boolean;
  readonly model: Model;
  readonly authority: FabricAuthority;
  readonly identity: KeyPair;
  readonly lives: Lives;
  readonly detours: Detour[];
  now(): Date;
  /** `https://host:port`, once it listens. */
  origin(): string;
}
