/** What is used of the package, which declares no types of its own. Each function throws where libsodium refuses. */
declare module "sodium-native" {
  const sodium: {
    crypto_kx_keypair(publicKey: Uint8Array, secretKey: Uint8Array): void;
    crypto_kx_client_session_keys(
      receive: Uint8Array,
      send: Uint8Array,
      clientPublicKey: Uint8Array,
      clientSecretKey: Uint8Array,
      serverPublicKey: Uint8Array,
    ): void;
    crypto_kx_server_session_keys(
      receive: Uint8Array,
      send: Uint8Array,
      serverPublicKey: Uint8Array,
      serverSecretKey: Uint8Array,
      clientPublicKey: Uint8Array,
    ): void;
    crypto_secretstream_xchacha20poly1305_init_push(state: Uint8Array, header: Uint8Array, key: Uint8Array): void;
    crypto_secretstream_xchacha20poly1305_init_pull(state: Uint8Array, header: Uint8Array, key: Uint8Array): void;
    crypto_secretstream_xchacha20poly1305_push(
      state: Uint8Array,
      ciphertext: Uint8Array,
      plaintext: Uint8Array,
      additional: null,
      tag: number,
    ): number;
    crypto_secretstream_xchacha20poly1305_pull(
      state: Uint8Array,
      plaintext: Uint8Array,
      tag: Uint8Array,
      ciphertext: Uint8Array,
      additional: null,
    ): number;
    readonly crypto_secretstream_xchacha20poly1305_STATEBYTES: number;
  };
  export default sodium;
}
