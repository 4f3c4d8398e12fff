import { OverlayError } from "../errors.ts";
import type { SessionKind } from "./api-session.ts";
import type { Credential } from "./credential.ts";
import { createControllerList, type ControllerUrls } from "./controller-list.ts";
import { createLogin, type Login } from "./login.ts";
import { openApiSession } from "./open-session.ts";
import { createController } from "./rest.ts";
import type { Settings } from "./settings.ts";
import { abortable, pause } from "./waiting.ts";

/** Who this client is, from one certificate to the next. */
export interface Logins {
  /** The login of the credential as it is now, made where there is none. Rejects with an `OverlayError`, or with the reason of `signal`. */
  current(signal: AbortSignal): Promise<Login>;
  /** Logs in no more, and out where nothing goes through any more. */
  close(): Promise<void>;
}

/** Where to log in, and as whom. */
export interface LoginsOptions {
  readonly controller: ControllerUrls;
  readonly credential: () => Credential | Promise<Credential>;
  readonly sessions: SessionKind | undefined;
  readonly settings: Settings;
}

/**
 * Logs in when first asked. A renewed certificate is another login: an OIDC token is bound to the certificate it was got
 * with, and so is the channel it was shown on. What goes through the old login goes on beside the new one.
 */
export function createLogins({ controller: urls, credential, sessions, settings }: LoginsOptions): Logins {
  const controllers = createControllerList(urls);
  const closing = new AbortController();
  let login: Login | undefined;
  let opening: Promise<Login> | undefined;
  void watchCredential();

  return {
    async current(signal) {
      const now = await abortable(Promise.resolve(credential()), signal);
      if (login !== undefined && isOf(login, now)) return login;
      opening ??= logIn(now).finally(() => (opening = undefined));
      return abortable(opening, signal);
    },
    async close() {
      closing.abort();
      await opening?.catch(() => {});
      if (login === undefined) return;
      const last = login;
      // A login that still carries connections goes when they do.
      const { isIdle } = last.channels;
      replace(last);
      if (isIdle) await last.retire();
    },
  };

  async function logIn(now: Credential): Promise<Login> {
    const controller = createController(controllers, now);
    const signal = AbortSignal.any([closing.signal, AbortSignal.timeout(settings.connectTimeout_ms)]);
    try {
      const session = await openApiSession(controller, { label: settings.label, kind: sessions }, signal);
      const next = createLogin({ credential: now, controller, session, settings, onRefused: () => replace(next) });
      if (login !== undefined) replace(login);
      login = next;
      return next;
    } catch (error) {
      controller.close();
      if (error instanceof OverlayError) throw error;
      throw closing.signal.aborted
        ? new OverlayError("cancelled", "the overlay was closed")
        : new OverlayError("timeout", `logging in took longer than ${settings.connectTimeout_ms} ms`);
    }
  }

  function replace(old: Login): void {
    if (login === old) login = undefined;
    void old.retire();
  }

  /** A host that nobody dials anew would otherwise keep the login of a certificate that has expired. */
  async function watchCredential(): Promise<void> {
    while (!closing.signal.aborted) {
      await pause(settings.credentialCheck_ms, closing.signal);
      if (login === undefined || closing.signal.aborted) continue;
      try {
        const now = await abortable(Promise.resolve(credential()), closing.signal);
        if (login !== undefined && !isOf(login, now))
          await (opening ??= logIn(now).finally(() => (opening = undefined)));
      } catch {
        // The old login goes on; the next round tries again.
      }
    }
  }
}

function isOf({ over, credential }: Login, { certPem, keyPem, caPem }: Credential): boolean {
  const same = credential.certPem === certPem && credential.keyPem === keyPem && credential.caPem === caPem;
  return same && !over.aborted;
}
