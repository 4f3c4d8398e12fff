const tick_ms = 10;

/**
 * How long `act` takes in ms of this process' own time: a timer that is late counts as one in time, so that what the process, or
 * the whole machine, stood still for is left out.
 */
export async function ownTime_ms(act: () => Promise<unknown>): Promise<number> {
  let ticks = 0;
  const timer = setInterval(() => (ticks += 1), tick_ms);
  await act().finally(() => clearInterval(timer));
  return ticks * tick_ms;
}

/** How long the processor works for `act`, in ms: what the process waited for it is left out. */
export function processorTime_ms(act: () => void): number {
  const before = process.cpuUsage();
  act();
  return process.cpuUsage(before).user / 1000;
}
