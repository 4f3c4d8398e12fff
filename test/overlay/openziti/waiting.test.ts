import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";
import { pause } from "../../../overlay/openziti/waiting.ts";

test.each([2 ** 31, 1e15, Number.POSITIVE_INFINITY])(
  "a pause of %s ms, more than timers take, is not over at once",
  async (time_ms) => {
    const end = new AbortController();
    const paused = pause(time_ms, end.signal).then(() => "over");
    expect(await Promise.race([paused, delay(50, "goes on")])).toBe("goes on");
    end.abort();
    expect(await paused).toBe("over");
  },
);
