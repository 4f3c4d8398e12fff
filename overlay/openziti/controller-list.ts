/** One URL, or those of all controllers of one network. */
export type ControllerUrls = string | readonly string[];

/** The controllers of one network. Whoever finds that one does not answer says so here, and all who share the list go on with the next. */
export interface ControllerList {
  readonly size: number;
  /** The one to be called next. */
  current(): URL;
  /** It did not answer; nothing changes where another has said so before. */
  leave(controller: URL): void;
}

/** Throws a `TypeError` where one of `urls` is no controller's. */
export function createControllerList(urls: ControllerUrls): ControllerList {
  const controllers = [urls].flat().map(readUrl);
  let turn = 0;
  const current = () => controllers[turn % controllers.length]!;
  return {
    size: controllers.length,
    current,
    leave(controller) {
      if (current() === controller) turn++;
    },
  };
}

function readUrl(url: string): URL {
  const parsed = URL.parse(url);
  if (parsed?.protocol !== "https:")
    throw new TypeError(`the controller's address must be an https:// URL, not ${url}`);
  return parsed;
}
