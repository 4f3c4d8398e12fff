import { createMtlsOverlay } from "../../overlay/mtls.ts";
import { overlayContract } from "./contract.ts";
import { throughProxy } from "./through-proxy.ts";

const host = "127.0.0.1";
const create = () => createMtlsOverlay({ services: { "control-plane": { host, port: 0 } } });

overlayContract("mtls", {
  create,
  nowhere: { host, port: 1 },
  carried: () =>
    throughProxy(
      create(),
      ({ port }) => `${host}:${port}`,
      (port) => ({ host, port }),
    ),
});
