/* Five fields of cron in a time zone: which instants they name. */

type FieldName = "minute" | "hour" | "day of the month" | "month" | "day of the week";
type FieldRule = { name: FieldName; from: number; to: number; names: readonly string[] };

/** A schedule that comes due at some time or other. */
export type Cron = {
  minutes: readonly number[];
  hours: readonly number[];
  days: ReadonlySet<number>;
  months: ReadonlySet<number>;
  weekdays: ReadonlySet<number>;
  /** The hour field begins with `*`: a clock that is set back repeats its times. */
  isEveryHour: boolean;
  /** Of the two day fields: both must fit where one is `*`, either where none is. */
  fitsEitherDay: boolean;
};

const monthNames = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const weekdayNames = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const fieldRules: readonly FieldRule[] = [
  { name: "minute", from: 0, to: 59, names: [] },
  { name: "hour", from: 0, to: 23, names: [] },
  { name: "day of the month", from: 1, to: 31, names: [] },
  { name: "month", from: 1, to: 12, names: monthNames },
  { name: "day of the week", from: 0, to: 7, names: weekdayNames },
];
const longestMonth = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
/** From one 29 February to the next there are at most eight years. */
const searchedDays = 8 * 366 + 1;
/** No schedule is followed beyond the years that four digits write. */
const lastYear = 9999;

/** Parses five fields with `*`, lists, ranges, steps and English names; or says which rule which field breaks. */
export function parseCron(text: string): Cron | { error: string } {
  const fields = text.trim().split(/ +/);
  if (fields.length !== fieldRules.length) {
    return {
      error: `has ${fields.length} fields instead of 5: minute, hour, day of the month, month, day of the week`,
    };
  }
  const parsed: number[][] = [];
  for (const [index, rule] of fieldRules.entries()) {
    const values = parseField(fields[index]!.toLowerCase(), rule);
    if ("error" in values) return values;
    parsed.push(values.values);
  }
  const [minutes, hours, days, months, weekdays] = parsed as [number[], number[], number[], number[], number[]];
  const isFree = (field: string | undefined) => field!.startsWith("*");
  const fitsEitherDay = !isFree(fields[2]) && !isFree(fields[4]);
  if (!fitsEitherDay && !months.some((month) => days.some((day) => day <= longestMonth[month - 1]!))) {
    return { error: "never comes due: none of its months has such a day" };
  }
  return {
    minutes,
    hours,
    days: new Set(days),
    months: new Set(months),
    weekdays: new Set(weekdays.map((day) => day % 7)),
    isEveryHour: isFree(fields[1]),
    fitsEitherDay,
  };
}

/** Whether the system knows a time zone by this name. */
export function isTimeZone(name: string): boolean {
  try {
    // An offset such as +02:00 knows no summer time, and is no zone.
    return /^[A-Za-z]/.test(name) && new Intl.DateTimeFormat("en", { timeZone: name }).format(0) !== "";
  } catch {
    return false;
  }
}

/**
 * The first time after `after`, in ms since 1970; undefined beyond the year 9999. A time that a clock set forward leaves out comes due at
 * the moment the clock is set; one that a clock set back shows twice comes due the first time, and both times where the hour is `*`.
 */
export function nextTime(cron: Cron, timeZone: string, after_ms: number): number | undefined {
  const now = Temporal.Instant.fromEpochMilliseconds(after_ms).toZonedDateTimeISO(timeZone);
  // A zone may set its clock back over midnight, so that a time of the day before is still to come.
  let date = now.toPlainDate().subtract({ days: 1 });
  for (let index = 0; index < searchedDays && date.year <= lastYear; index += 1) {
    const times = isDue(cron, date) ? timesOfDay(cron, date, timeZone) : [];
    const found = times.find((time) => time > after_ms);
    if (found !== undefined) return found;
    date = date.add({ days: 1 });
  }
  return undefined;
}

function isDue(cron: Cron, date: Temporal.PlainDate): boolean {
  if (!cron.months.has(date.month)) return false;
  const fitsDay = cron.days.has(date.day);
  const fitsWeekday = cron.weekdays.has(date.dayOfWeek % 7);
  return cron.fitsEitherDay ? fitsDay || fitsWeekday : fitsDay && fitsWeekday;
}

/** In order. */
function timesOfDay(cron: Cron, date: Temporal.PlainDate, timeZone: string): number[] {
  const start = date.toZonedDateTime(timeZone);
  const end = date.add({ days: 1 }).toZonedDateTime(timeZone);
  const wholeDay_ms = 86_400_000;
  const isPlain = end.epochMilliseconds - start.epochMilliseconds === wholeDay_ms && start.hour + start.minute === 0;
  const walls = cron.hours.flatMap((hour) => cron.minutes.map((minute) => ({ hour, minute })));
  if (isPlain && start.offsetNanoseconds === end.offsetNanoseconds) {
    return walls.map(({ hour, minute }) => start.epochMilliseconds + (hour * 60 + minute) * 60_000);
  }
  const times = walls.flatMap((wall) => instantsOf(cron, date.toPlainDateTime(wall), timeZone));
  return [...new Set(times)].toSorted((a, b) => a - b);
}

/** When a clock shows a time: once, twice, or (where it is set forward over it) when it is set. */
function instantsOf(cron: Cron, wall: Temporal.PlainDateTime, timeZone: string): number[] {
  const earlier = wall.toZonedDateTime(timeZone, { disambiguation: "earlier" });
  const later = wall.toZonedDateTime(timeZone, { disambiguation: "later" });
  if (earlier.epochMilliseconds === later.epochMilliseconds) return [earlier.epochMilliseconds];
  if (later.toPlainDateTime().equals(wall)) {
    return cron.isEveryHour
      ? [earlier.epochMilliseconds, later.epochMilliseconds]
      : [Math.min(earlier.epochMilliseconds, later.epochMilliseconds)];
  }
  if (cron.isEveryHour) return [];
  const change = earlier.getTimeZoneTransition("next");
  return [change?.epochMilliseconds ?? later.epochMilliseconds];
}

function parseField(text: string, rule: FieldRule): { values: number[] } | { error: string } {
  const values = new Set<number>();
  for (const part of text.split(",")) {
    const range = parseRange(part, rule);
    if ("error" in range) return { error: `${rule.name}: ${range.error}` };
    for (let value = range.from; value <= range.to; value += range.step) values.add(value);
  }
  return { values: [...values].toSorted((a, b) => a - b) };
}

function parseRange(part: string, rule: FieldRule): { from: number; to: number; step: number } | { error: string } {
  const match = /^(\*|[a-z0-9]{1,3})(?:-([a-z0-9]{1,3}))?(?:\/([0-9]{1,2}))?$/.exec(part);
  if (!match)
    return { error: `"${part}" is none of *, a value, a range such as 1-5, and these with a step such as */15` };
  const [, first, last, stepText] = match;
  const step = stepText === undefined ? 1 : Number(stepText);
  if (step === 0) return { error: "a step of 0 leads nowhere" };
  if (first === "*") {
    if (last !== undefined) return { error: `"${part}" is no range` };
    return { from: rule.from, to: rule.name === "day of the week" ? 6 : rule.to, step };
  }
  const from = valueOf(first!, rule);
  const openEnd = stepText === undefined ? from : rule.to;
  const to = last === undefined ? openEnd : valueOf(last, rule);
  if (from === undefined || to === undefined) {
    const wrong = from === undefined ? first : last;
    return { error: `"${wrong}" is not between ${rule.from} and ${rule.to}` };
  }
  if (from > to) return { error: `the range ${part} runs backwards` };
  return { from, to, step };
}

function valueOf(text: string, { from, to, names, name }: FieldRule): number | undefined {
  const named = names.indexOf(text);
  if (named >= 0) return name === "month" ? named + 1 : named;
  if (!/^[0-9]{1,2}$/.test(text)) return undefined;
  const value = Number(text);
  return value >= from && value <= to ? value : undefined;
}
