import wrappers, * as library from "libsodium-wrappers";
import { messageTag, sealOverhead_bytes, type SessionKeys, type Sodium } from "./sodium.ts";

/** libsodium in WebAssembly: it runs wherever Node does. */
export async function openWasmSodium(): Promise<Sodium> {
  await wrappers.ready;
  const free = memoryOf(library);

  return {
    createKeyPair() {
      const { publicKey, privateKey } = wrappers.crypto_kx_keypair();
      return { publicKey, secretKey: privateKey };
    },
    clientKeys: (own, peer) =>
      sessionKeys(() => wrappers.crypto_kx_client_session_keys(own.publicKey, own.secretKey, peer)),
    serverKeys: (own, peer) =>
      sessionKeys(() => wrappers.crypto_kx_server_session_keys(own.publicKey, own.secretKey, peer)),
    createSealer(key) {
      const { state, header } = wrappers.crypto_secretstream_xchacha20poly1305_init_push(key);
      return {
        header,
        seal: (plain, into) =>
          into.set(wrappers.crypto_secretstream_xchacha20poly1305_push(state, plain, null, messageTag)),
        close: () => free(state.address),
      };
    },
    createOpener(key, header) {
      const state = wrappers.crypto_secretstream_xchacha20poly1305_init_pull(header, key);
      return {
        open(sealed) {
          if (sealed.length < sealOverhead_bytes) return undefined;
          const opened = wrappers.crypto_secretstream_xchacha20poly1305_pull(state, sealed, null);
          if (opened === false) return undefined;
          const { buffer, byteOffset, length } = opened.message;
          return Buffer.from(buffer, byteOffset, length);
        },
        close: () => free(state.address),
      };
    },
  };
}

/** What gives memory back: a stream's state lies outside the reach of the garbage collector. */
function memoryOf(exports: object): (address: number) => void {
  const { libsodium } = exports as { libsodium: { _free(address: number): void } };
  return (address) => libsodium._free(address);
}

function sessionKeys(derive: () => { sharedRx: Uint8Array; sharedTx: Uint8Array }): SessionKeys | undefined {
  try {
    const { sharedRx, sharedTx } = derive();
    return { receive: sharedRx, send: sharedTx };
  } catch {
    return undefined;
  }
}
