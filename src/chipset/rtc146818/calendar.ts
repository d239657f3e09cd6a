import * as r from './registers.js';

/** The bytes that tell the time, in the form register B asks for. */
const TIME_BYTES = [
  r.SECONDS,
  r.MINUTES,
  r.HOURS,
  r.DAY_OF_WEEK,
  r.DAY_OF_MONTH,
  r.MONTH,
  r.YEAR,
  r.CENTURY,
];

const DAY_SECONDS = 86_400;
/** The calendar repeats after 400 years. */
const CYCLE_MS = 146_097 * DAY_SECONDS * 1000;

export function isTimeByte(index: number): boolean {
  return TIME_BYTES.includes(index);
}

/** One byte of the date and time `ms` since 1970. */
export function timeByte(index: number, ms: number, b: number): number {
  const date = new Date(ms);
  const year = date.getUTCFullYear();
  switch (index) {
    case r.SECONDS:
      return number(date.getUTCSeconds(), b);
    case r.MINUTES:
      return number(date.getUTCMinutes(), b);
    case r.HOURS:
      return hours(date.getUTCHours(), b);
    case r.DAY_OF_WEEK:
      return date.getUTCDay() + 1;
    case r.DAY_OF_MONTH:
      return number(date.getUTCDate(), b);
    case r.MONTH:
      return number(date.getUTCMonth() + 1, b);
    case r.YEAR:
      return number(((year % 100) + 100) % 100, b);
    default:
      return number(((Math.floor(year / 100) % 100) + 100) % 100, b);
  }
}

/** Puts all of the date and time into `ram`. */
export function putTime(ram: Uint8Array, ms: number, b: number): void {
  for (const index of TIME_BYTES) ram[index] = timeByte(index, ms, b);
}

/** Milliseconds since 1970 of the date in `ram`. Impossible dates run over into the next. */
export function getTime(ram: Uint8Array, b: number): number {
  const value = (index: number) => plain(ram[index]!, b);
  // The first century of Date.UTC means the 20th, so it is asked for a later cycle.
  const year = value(r.CENTURY) * 100 + value(r.YEAR) + 400;
  const later = Date.UTC(
    year,
    value(r.MONTH) - 1,
    value(r.DAY_OF_MONTH),
    plainHours(ram[r.HOURS]!, b),
    value(r.MINUTES),
    value(r.SECONDS),
  );
  return later - CYCLE_MS;
}

/** The first second after `second` (since 1970) that the alarm bytes match, or Infinity. */
export function nextAlarm(ram: Uint8Array, b: number, second: number): number {
  const start = second + 1;
  const day = Math.floor(start / DAY_SECONDS) * DAY_SECONDS;
  const from = start - day;
  const today = firstMatch(ram, b, from);
  if (today < DAY_SECONDS) return day + today;
  const tomorrow = firstMatch(ram, b, 0);
  return tomorrow < DAY_SECONDS ? day + DAY_SECONDS + tomorrow : Number.POSITIVE_INFINITY;
}

/** The first second of the day, from `from`, that matches; a whole day if none does. */
function firstMatch(ram: Uint8Array, b: number, from: number): number {
  const wanted = (index: number, decode: (byte: number, b: number) => number) =>
    (ram[index]! & r.ALARM_ANY) === r.ALARM_ANY ? -1 : decode(ram[index]!, b);
  const hour = wanted(r.HOURS_ALARM, plainHours);
  const minute = wanted(r.MINUTES_ALARM, plain);
  const second = wanted(r.SECONDS_ALARM, plain);
  // Impossible values match never, and are not worth looking for.
  if (hour > 23 || minute > 59 || second > 59) return DAY_SECONDS;
  for (let h = hour < 0 ? Math.floor(from / 3600) : hour; h < 24; h++) {
    for (let m = Math.max(minute, 0); m < 60; m++) {
      const first = h * 3600 + m * 60;
      const at = second < 0 ? Math.max(first, from) : first + second;
      if (at >= from && at < first + 60) return at;
      if (minute >= 0) break;
    }
    if (hour >= 0) break;
  }
  return DAY_SECONDS;
}

function number(value: number, b: number): number {
  return b & r.B_BINARY ? value : (Math.floor(value / 10) << 4) | (value % 10);
}

function hours(hour: number, b: number): number {
  if (b & r.B_24_HOURS) return number(hour, b);
  return number(hour % 12 || 12, b) | (hour >= 12 ? r.HOURS_PM : 0);
}

function plain(byte: number, b: number): number {
  return b & r.B_BINARY ? byte : (byte >> 4) * 10 + (byte & 15);
}

function plainHours(byte: number, b: number): number {
  if (b & r.B_24_HOURS) return plain(byte, b);
  return (plain(byte & ~r.HOURS_PM, b) % 12) + (byte & r.HOURS_PM ? 12 : 0);
}
