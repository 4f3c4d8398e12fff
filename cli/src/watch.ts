import { setTimeout as delay } from "node:timers/promises";
import type { Context } from "./context.ts";
import { errorReason } from "./errors.ts";
import { resumeStream } from "./resume.ts";
import type { View } from "./view.ts";

interface WatchSource<Message, T> {
  readonly open: (bookmark: string) => AsyncIterable<Message>;
  readonly items: (message: Message) => readonly T[];
}

/** How long a watch that the server ended waits before it goes on. */
const reopenMs = 500;

/** Shows each item as it comes, from where the last connection broke; ends by Ctrl-C only. */
export async function watch<Message extends { readonly bookmark: string }, T>(
  context: Context,
  view: View<T>,
  source: WatchSource<Message, T>,
): Promise<number> {
  let bookmark = "";
  for (;;) {
    try {
      for await (const message of resumeStream(context, () => source.open(bookmark))) {
        for (const item of source.items(message)) await context.output.item(view, item);
        bookmark = message.bookmark;
      }
    } catch (error) {
      if (errorReason(error) !== "CURSOR_EXPIRED") throw error;
      await context.output.note("changes were missed: showing everything again", "warning");
      bookmark = "";
    }
    await delay(reopenMs, undefined, { signal: context.terminal.signal });
  }
}
