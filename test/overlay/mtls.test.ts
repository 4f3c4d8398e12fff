import { createMtlsOverlay } from "../../overlay/mtls.ts";
import { overlayContract } from "./contract.ts";

overlayContract("mtls", () => createMtlsOverlay({ services: { "control-plane": { host: "127.0.0.1", port: 0 } } }));
