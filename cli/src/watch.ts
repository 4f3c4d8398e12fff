import { setTimeout as delay } from "node:timers/promises";
import type { Context } from "./context.ts";
import { errorReason } from "./errors.ts";
import { resumeStream } from "./resume.ts";
import type { View } from "./view.ts";

interface WatchMessage {
  readonly bookmark: string;
}

/** How long a watch that the server ended waits before it goes on. */
const reopenMs = 500;

/** The messages of a watch without end: where it breaks, or the server ends it, it goes on from the last bookmark. */
export async function* watchMessages<Message extends WatchMessage>(
  context: Context,
  open: (bookmark: string) => AsyncIterable<Message>,
): AsyncGenerator<Message, void> {
  let bookmark = "";
  for (;;) {
    try {
      for await (const message of resumeStream(context, () => open(bookmark))) {
        yield message;
        bookmark = message.bookmark;
      }
    } catch (error) {
      if (errorReason(error) !== "CURSOR_EXPIRED") throw error;
      bookmark = "";
    }
    await delay(reopenMs, undefined, { signal: context.terminal.signal });
  }
}

interface WatchSource<Message, T> {
  readonly open: (bookmark: string) => AsyncIterable<Message>;
  readonly items: (message: Message) => readonly T[];
}

/** Shows each item as it comes; ends by Ctrl-C only. */
export async function watch<Message extends WatchMessage, T>(
  context: Context,
  view: View<T>,
  { open, items }: WatchSource<Message, T>,
): Promise<undefined> {
  for await (const message of watchMessages(context, open)) {
    for (const item of items(message)) await context.output.item(view, item);
  }
}
