import type { OptionValues, Options } from "./command-shape.ts";
import { parseDuration } from "./durations.ts";
import { outputFormats } from "./output.ts";

/** Options that every command takes, before or after its words. */
export const globalOptions = {
  org: {
    kind: "text",
    placeholder: "organization",
    help: "organization's id, name or start of an id (default: your default one)",
  },
  output: { kind: "text", short: "o", placeholder: "format", choices: outputFormats, help: "how results are shown" },
  gateway: {
    kind: "text",
    placeholder: "url",
    help: "the control plane (else AGYN_GATEWAY, else the nearest .agyn, else http://127.0.0.1:7070)",
  },
  accessTokenFile: {
    kind: "text",
    placeholder: "file",
    help: "file with your access token (else AGYN_TOKEN, else the nearest .agyn)",
  },
  caFile: {
    kind: "text",
    placeholder: "file",
    help: "PEM file of the authority that signed the gateway's certificate (else AGYN_CA_FILE, else the nearest .agyn)",
  },
  allowCleartext: { kind: "flag", help: "send the token without TLS to another machine" },
  requestTimeout: {
    kind: "parsed",
    placeholder: "duration",
    parse: parseDuration,
    help: "how long a call may take (default: 30s)",
  },
} as const satisfies Options;

/** What the command line says of these; each may be left out. */
export type GlobalOptions = OptionValues<typeof globalOptions>;
