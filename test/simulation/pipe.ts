import type { VirtualTime } from "./virtual-time.ts";

/** One direction of a stream: delayed, in order, lossless until it is cut. */
export interface Pipe<T> {
  send(value: T): void;
  /** What is under way and what is sent later gets lost. */
  cut(): void;
}

export type PipeOptions<T> = {
  time: VirtualTime;
  /** Of the next value, in ms. */
  delay_ms: () => number;
  /** Until when nothing arrives, in ms since 1970. */
  blockedUntil: () => number;
  deliver: (value: T) => void;
};

export function createPipe<T>({ time, delay_ms, blockedUntil, deliver }: PipeOptions<T>): Pipe<T> {
  const queue: { due: number; value: T }[] = [];
  let isCut = false;
  const wait = () => {
    const head = queue[0];
    if (head) setTimeout(arrive, Math.max(0, head.due - Date.now(), blockedUntil() - Date.now()));
  };
  const arrive = () => {
    if (isCut) return;
    if (blockedUntil() <= Date.now()) deliver(queue.shift()!.value);
    wait();
  };
  return {
    send(value) {
      if (isCut) return;
      time.stir();
      queue.push({ due: Math.max(queue.at(-1)?.due ?? 0, Date.now() + delay_ms()), value });
      if (queue.length === 1) wait();
    },
    cut() {
      isCut = true;
      queue.length = 0;
    },
  };
}
