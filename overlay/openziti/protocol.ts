/** The kinds of messages between an edge client and a router, as far as this client speaks them. */
export const messageType = {
  hello: 0,
  result: 2,
  latency: 3,
  connect: 60783,
  stateConnected: 60784,
  stateClosed: 60785,
  data: 60786,
  dial: 60787,
  dialSuccess: 60788,
  dialFailed: 60789,
  bind: 60790,
  unbind: 60791,
  connInspectRequest: 60798,
  connInspectResponse: 60799,
  bindSuccess: 60800,
  updateTokenSuccess: 60801,
  updateToken: 60803,
} as const;

/** The headers of messages. Numbers are little-endian; what is text is UTF-8. */
export const headerId = {
  /** u32: the sequence number of the message that is answered. */
  replyFor: 1,
  /** One byte: whether what was asked for was done. */
  resultSuccess: 2,
  /** Any bytes: come back as they were sent. */
  probe: 128,
  /** u32, on all that concerns one connection. */
  connId: 1000,
  /** u32 */
  sequence: 1001,
  /** Text: the token of the API session. */
  sessionToken: 1002,
  /** 32 bytes: a `crypto_kx` public key. */
  publicKey: 1003,
  /** u16 */
  cost: 1004,
  /** One byte. */
  precedence: 1005,
  /** Text: which of a service's hosts. */
  terminatorIdentity: 1006,
  /** Text: whatever the dialer says of itself. */
  callerId: 1008,
  /** u32: `dataFlag`s. */
  flags: 1010,
  /** In a bind one byte: the router chooses ids; in a dial u32: the id it chose. */
  routerProvidedConnId: 1012,
  /** u32 */
  errorCode: 1014,
  /** 32 random bytes: one listener, whatever its connections. */
  listenerId: 1021,
  /** One byte: a `connType`. */
  connType: 1022,
  /** One byte. */
  supportsInspect: 1023,
  /** One byte. */
  supportsBindSuccess: 1024,
  /** Text: finds a connection in the logs of all that it passed. */
  connectionMarker: 1025,
  /** Text: who dials, as the router knows it; from 2.0 on. */
  dialerIdentityName: 1035,
} as const;

export const dataFlag = {
  /** No more will come. */
  fin: 1,
  /** What follows is a stream of bytes: pieces may be merged. */
  stream: 8,
  /** The body holds several messages, each behind its length. */
  multipartMessage: 16,
} as const;

/** What a router is told of a connection it asks about. */
export const connType = { unknown: 0, dial: 1, bind: 2 } as const;

/** Of `errorCode`: the token is not, or no more, good. */
export const invalidTokenCodes: readonly number[] = [2, 3];
/** Of `errorCode`: not permitted, or not with such a machine. */
export const deniedCodes: readonly number[] = [14, 15];

/** The application protocol of TLS between client and router. */
export const edgeProtocol = "ziti-edge";
