/** A key pair for an exchange of keys (`crypto_kx`). */
export interface KeyPair {
  readonly publicKey: Uint8Array;
  readonly secretKey: Uint8Array;
}

/** The keys of one connection, of 32 bytes: each end sends with what the other receives with. */
export interface SessionKeys {
  readonly receive: Uint8Array;
  readonly send: Uint8Array;
}

/** Encrypts one direction of a connection, message by message. */
export interface Sealer {
  /** What the other end must have before the first message. */
  readonly header: Uint8Array;
  /** Writes `plain` encrypted into `into`, which is `sealOverhead_bytes` longer. */
  seal(plain: Uint8Array, into: Uint8Array): void;
  close(): void;
}

/** Decrypts one direction of a connection, message by message, in the order in which they were sealed. */
export interface Opener {
  /** The plaintext in memory of its own, or `undefined` where `sealed` was tampered with or is out of order. */
  open(sealed: Uint8Array): Buffer | undefined;
  close(): void;
}

/** The part of libsodium that end-to-end encryption needs, whichever library does it. */
export interface Sodium {
  createKeyPair(): KeyPair;
  /** The dialing end's keys. `undefined` where the other's public key is none. */
  clientKeys(own: KeyPair, serverPublicKey: Uint8Array): SessionKeys | undefined;
  /** The hosting end's keys. `undefined` where the other's public key is none. */
  serverKeys(own: KeyPair, clientPublicKey: Uint8Array): SessionKeys | undefined;
  createSealer(key: Uint8Array): Sealer;
  createOpener(key: Uint8Array, header: Uint8Array): Opener;
}

/** Length of a public key, in bytes. */
export const publicKey_bytes = 32;
/** Length of a secret key and of a session's keys, in bytes. */
export const key_bytes = 32;
/** Length of what goes before the first message of a direction, in bytes. */
export const sealHeader_bytes = 24;
/** What a message grows by when it is sealed, in bytes. */
export const sealOverhead_bytes = 17;
/** The tag of a message like any other. */
export const messageTag = 0;

let loading: Promise<Sodium> | undefined;

/** The library for all connections of this process. */
export function loadSodium(): Promise<Sodium> {
  loading ??= chooseSodium();
  return loading;
}

/** The native library where its binary fits this machine, otherwise the one in WebAssembly, which is slower. */
export async function chooseSodium(openNative: () => Promise<Sodium> = openNativeLibrary): Promise<Sodium> {
  try {
    return await openNative();
  } catch {
    return (await import("./wasm-sodium.ts")).openWasmSodium();
  }
}

async function openNativeLibrary(): Promise<Sodium> {
  return (await import("./native-sodium.ts")).openNativeSodium();
}
