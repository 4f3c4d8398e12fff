import { mkdtemp, rm, writeFile } from "node:fs/promises";
import type net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { limited } from "./limited.ts";
import { readSdkError, type OpenZitiSdk } from "./openziti-sdk.ts";
import type { Credential } from "./openziti/credential.ts";
import type { OpenZitiEndpoint, OpenZitiOptions } from "./openziti/openziti.ts";
import type { ControllerUrls } from "./openziti/controller-list.ts";
import { abortable } from "./openziti/waiting.ts";
import type { Dialer } from "./overlay.ts";

/** What the adapter is told. */
export interface OpenZitiNativeOptions extends Pick<OpenZitiOptions, "controller" | "credential"> {
  readonly sdk: OpenZitiSdk;
  /** For a login and a dial together. */
  readonly connectTimeout_ms?: number;
}

/** The one login that the SDK has. */
interface Login {
  /** Where and as whom, as the SDK reads it. */
  readonly identityFile: string;
  readonly network: string;
  readonly ready: Promise<void>;
  /** Connections, and what is being dialed. */
  uses: number;
}

const defaultConnectTimeout_ms = 20_000;
/** By the SDK that they are in: all overlays of the process share what it has only one of. */
const logins = new WeakMap<OpenZitiSdk, Login>();

/**
 * The adapter over OpenZiti's own SDK for Node. It only dials: what the SDK accepts connections with knows no back-pressure.
 * Another network ends the login of the one before, and with it what goes through. A renewed certificate of the same one
 * waits until nothing goes through the login, or until that fails.
 */
export function createOpenZitiNativeOverlay(options: OpenZitiNativeOptions): Dialer<OpenZitiEndpoint> {
  const { sdk, controller, connectTimeout_ms: timeout_ms = defaultConnectTimeout_ms } = options;
  const closing = new AbortController();
  const network = JSON.stringify([controller]);

  return {
    dial(endpoint, { signal } = {}) {
      const what = `dialing service ${endpoint.service} with OpenZiti's SDK`;
      const given = signal === undefined ? [closing.signal] : [closing.signal, signal];
      return limited({ what, timeout_ms, given, otherwise: "broken" }, async (until) => {
        const identityFile = toIdentityFile(controller, await options.credential());
        const login = loginOf(identityFile);
        try {
          return await dialThrough(login, endpoint, until);
        } catch (error) {
          if (login.identityFile === identityFile || until.aborted) throw error;
          // It may have been the old certificate: with no regard for what still goes through its login.
          leave(sdk, login);
          return dialThrough(loginOf(identityFile), endpoint, until);
        }
      });
    },
    async close() {
      closing.abort();
      const login = logins.get(sdk);
      if (login?.network === network && login.uses === 0) leave(sdk, login);
    },
  };

  function loginOf(identityFile: string): Login {
    const now = logins.get(sdk);
    if (now?.identityFile === identityFile || (now?.network === network && now.uses > 0)) return now;

    if (now !== undefined) leave(sdk, now);
    const login: Login = { identityFile, network, ready: logIn(sdk, identityFile, timeout_ms), uses: 0 };
    login.ready.catch(() => {});
    logins.set(sdk, login);
    return login;
  }

  async function dialThrough(login: Login, endpoint: OpenZitiEndpoint, until: AbortSignal): Promise<net.Socket> {
    login.uses++;
    try {
      await abortable(login.ready, until);
      const socket = await connect(sdk, endpoint, until);
      socket.once("close", () => release(login, closing.signal.aborted));
      return socket;
    } catch (error) {
      // A login that fails and carries nothing is worth nothing: the next dial makes another.
      release(login, true);
      throw error;
    }
  }

  function release(login: Login, isLast: boolean): void {
    login.uses--;
    if (isLast && login.uses === 0) leave(sdk, login);
  }
}

function leave(sdk: OpenZitiSdk, login: Login): void {
  if (logins.get(sdk) !== login) return;
  logins.delete(sdk);
  sdk.ziti_shutdown();
}

/** The SDK takes keys by a file only: one that nobody else can read, and that is gone when it has been read. */
async function logIn(sdk: OpenZitiSdk, identityFile: string, timeout_ms: number): Promise<void> {
  const what = "logging in with OpenZiti's SDK";
  await limited({ what, timeout_ms, given: [], otherwise: "broken" }, async (until) => {
    const directory = await mkdtemp(join(tmpdir(), "agyn-openziti-"));
    const path = join(directory, "identity.json");
    try {
      await writeFile(path, identityFile, { mode: 0o600 });
      const status = await abortable(sdk.init(path), until).catch((error: unknown) => {
        until.throwIfAborted();
        throw readSdkError(error, what);
      });
      if (typeof status === "number" && status !== 0) throw readSdkError(`status ${status}`, what);
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  });
}

async function connect(sdk: OpenZitiSdk, endpoint: OpenZitiEndpoint, until: AbortSignal): Promise<net.Socket> {
  const what = `service ${endpoint.service} cannot be reached with OpenZiti's SDK`;
  const { promise, resolve, reject } = Promise.withResolvers<net.Socket>();
  until.throwIfAborted();
  try {
    sdk.connect(endpoint, (error, socket) => {
      if (socket === undefined) return reject(readSdkError(error, what));
      if (until.aborted) return void socket.on("error", () => {}).destroy();
      socket.allowHalfOpen = true;
      return resolve(socket);
    });
  } catch (error) {
    reject(readSdkError(error, what));
  }
  return abortable(promise, until);
}

function toIdentityFile(controller: ControllerUrls, { keyPem, certPem, caPem }: Credential): string {
  const origins = [controller].flat().map((url) => new URL(url).origin);
  const id = { key: `pem:${keyPem}`, cert: `pem:${certPem}`, ca: `pem:${caPem}` };
  return JSON.stringify({ ztAPI: origins[0], ztAPIs: origins, id });
}
