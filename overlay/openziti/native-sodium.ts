import native from "sodium-native";
import { key_bytes, messageTag, publicKey_bytes, sealHeader_bytes, sealOverhead_bytes, type Sodium } from "./sodium.ts";

/** libsodium as a native addon. Loading this module throws where the package has no binary for the machine. */
export function openNativeSodium(): Sodium {
  return {
    createKeyPair() {
      const [publicKey, secretKey] = [Buffer.alloc(publicKey_bytes), Buffer.alloc(key_bytes)];
      native.crypto_kx_keypair(publicKey, secretKey);
      return { publicKey, secretKey };
    },
    clientKeys: (own, peer) =>
      sessionKeys((receive, send) =>
        native.crypto_kx_client_session_keys(receive, send, own.publicKey, own.secretKey, peer),
      ),
    serverKeys: (own, peer) =>
      sessionKeys((receive, send) =>
        native.crypto_kx_server_session_keys(receive, send, own.publicKey, own.secretKey, peer),
      ),
    createSealer(key) {
      const state = createState();
      const header = Buffer.alloc(sealHeader_bytes);
      native.crypto_secretstream_xchacha20poly1305_init_push(state, header, key);
      return {
        header,
        seal: (plain, into) =>
          void native.crypto_secretstream_xchacha20poly1305_push(state, into, plain, null, messageTag),
        close: () => void state.fill(0),
      };
    },
    createOpener(key, header) {
      const state = createState();
      native.crypto_secretstream_xchacha20poly1305_init_pull(state, header, key);
      const tag = Buffer.alloc(1);
      return {
        open(sealed) {
          if (sealed.length < sealOverhead_bytes) return undefined;
          const plain = Buffer.allocUnsafeSlow(sealed.length - sealOverhead_bytes);
          try {
            native.crypto_secretstream_xchacha20poly1305_pull(state, plain, tag, sealed, null);
            return plain;
          } catch {
            return undefined;
          }
        },
        close: () => void state.fill(0),
      };
    },
  };
}

function createState(): Buffer {
  return Buffer.alloc(native.crypto_secretstream_xchacha20poly1305_STATEBYTES);
}

function sessionKeys(derive: (receive: Buffer, send: Buffer) => void) {
  const keys = { receive: Buffer.alloc(key_bytes), send: Buffer.alloc(key_bytes) };
  try {
    derive(keys.receive, keys.send);
    return keys;
  } catch {
    return undefined;
  }
}
