import { usageError } from './exit-status.js';

/** One flag of a verb, as the help shows it. */
export interface FlagSpec {
  /** What stands for the value in the help, such as `FILE`; a flag without one is a switch. */
  readonly value?: string;
  readonly repeatable?: boolean;
  readonly help: string;
}

/** Flags by name without the dashes. */
export type FlagTable = Readonly<Record<string, FlagSpec>>;

/** A command line taken apart. */
export interface ParsedArgs {
  has(name: string): boolean;
  /** The value of a flag given at most once. */
  one(name: string): string | undefined;
  all(name: string): readonly string[];
  readonly positional: readonly string[];
}

/** Takes `--flag value`, `--flag=value`, switches and positional arguments; `--` ends the flags. */
export function parseArgs(argv: readonly string[], table: FlagTable): ParsedArgs {
  const given = new Map<string, string[]>();
  const positional: string[] = [];
  for (let i = 0; i < argv.length; i++) {
    const argument = argv[i]!;
    if (argument === '--') {
      positional.push(...argv.slice(i + 1));
      break;
    }
    if (!argument.startsWith('-') || argument === '-') {
      positional.push(argument);
      continue;
    }
    const equals = argument.indexOf('=');
    const flag = equals < 0 ? argument : argument.slice(0, equals);
    const name = flag.replace(/^--?/, '');
    const spec = Object.hasOwn(table, name) && flag.startsWith('--') ? table[name] : undefined;
    if (spec === undefined)
      throw usageError(`unknown flag ${flag}${suggestion(name, Object.keys(table), '--')}`);
    let value = equals < 0 ? undefined : argument.slice(equals + 1);
    if (spec.value === undefined) {
      if (value !== undefined) throw usageError(`${flag} takes no value, found "${value}"`);
      value = '';
    } else if (value === undefined) {
      value = argv[++i];
      if (value === undefined) throw usageError(`${flag} wants a value: ${flag} ${spec.value}`);
    }
    const values = given.get(name);
    if (values === undefined) given.set(name, [value]);
    else if (spec.repeatable) values.push(value);
    else throw usageError(`${flag} is given twice; it can be given once`);
  }
  return {
    has: (name) => given.has(name),
    one: (name) => given.get(name)?.[0],
    all: (name) => given.get(name) ?? [],
    positional,
  };
}

/** `; did you mean --memory?` for a name that is nearly a known one. */
export function suggestion(name: string, known: readonly string[], prefix = ''): string {
  const near = known
    .map((word) => ({ word, distance: editDistance(name, word) }))
    .sort((a, b) => a.distance - b.distance)[0];
  if (near === undefined || near.distance > Math.max(2, name.length / 3)) return '';
  return `; did you mean ${prefix}${near.word}?`;
}

/** Levenshtein's distance: single characters put in, left out or replaced. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[b.length]!;
}

/** The flags as an indented two-column list. */
export function describeFlags(table: FlagTable): string {
  const rows = Object.entries(table).map(([name, spec]) => ({
    left: `  --${name}${spec.value === undefined ? '' : ` ${spec.value}`}`,
    help: spec.help,
  }));
  const width = Math.max(...rows.map((row) => row.left.length)) + 2;
  return rows.map((row) => `${row.left.padEnd(width)}${row.help}\n`).join('');
}

/** `512M`, `1G`, `65536K` or plain bytes, as a number of bytes. */
export function parseSize(flag: string, text: string): number {
  const found = /^(\d{1,15})([KMGT]?)(?:i?B)?$/i.exec(text);
  const scale = { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 };
  const unit = found?.[2]?.toUpperCase() as keyof typeof scale | undefined;
  if (found === null || unit === undefined) {
    throw usageError(`${flag}: found "${text}", wanted a size such as 512M or 1G`);
  }
  return Number(found[1]) * scale[unit];
}

/** A whole number in `[min, max]`, decimal or with `0x`. */
export function parseNumber(flag: string, text: string, min: number, max: number): number {
  const value = /^(\d+|0x[\da-f]+)$/i.test(text) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  throw usageError(`${flag}: found "${text}", wanted a number from ${min} to ${max}`);
}

/** One of a few words. */
export function parseWord<const T extends string>(flag: string, text: string, words: T[]): T {
  const found = words.find((word) => word === text);
  if (found !== undefined) return found;
  throw usageError(`${flag}: found "${text}", wanted ${words.join(' or ')}`);
}
