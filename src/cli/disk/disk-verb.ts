import { existsSync } from 'node:fs';
import type { Disk } from '../../backend/disk/disk.js';
import { type FileSpec, fileSpecHelp, parseFileSpec } from '../../backend/disk/file-spec.js';
import type { CreateOptions } from '../../backend/disk/open-disk.js';
import {
  describeFlags,
  type FlagTable,
  type ParsedArgs,
  parseArgs,
  parseNumber,
  parseSize,
  parseWord,
} from '../args.js';
import { CliError, exitStatus, usageError } from '../exit-status.js';
import type { Verb } from '../verb.js';

/** What a verb of `chassis disk` is made of. */
export interface DiskVerb {
  readonly summary: string;
  /** The positional arguments, as the help shows them. */
  readonly positional: string;
  /** How many of them there are. */
  readonly counts: readonly [least: number, most: number];
  readonly flags?: FlagTable;
  readonly examples: readonly string[];
  readonly notes?: string;
  run(args: ParsedArgs, progress: (fraction: number) => void): Promise<number>;
}

const common: FlagTable = {
  json: { help: 'the result as JSON, for programs' },
  progress: { help: 'shows how far it is, also where standard error is no terminal' },
};

/** Makes a {@link DiskVerb} one that the command can run: flags, help and progress. */
export function diskVerb(name: string, verb: DiskVerb): Verb {
  const flags = { ...verb.flags, ...common };
  return {
    summary: verb.summary,
    usage: () =>
      `usage: chassis disk ${name} [flags] ${verb.positional}\n\n${describeFlags(flags)}\n` +
      `${fileSpecHelp}\n${verb.notes === undefined ? '' : `${verb.notes}\n\n`}Examples:\n` +
      verb.examples.map((example) => `  chassis disk ${name} ${example}\n`).join(''),
    async run(argv) {
      const args = parseArgs(argv, flags);
      const [least, most] = verb.counts;
      const { length } = args.positional;
      if (length < least || length > most) {
        throw usageError(`disk ${name}: found ${length} arguments, wanted ${verb.positional}`);
      }
      const shown = args.has('progress') || process.stderr.isTTY === true;
      const progress = shown ? new Progress() : undefined;
      try {
        return await verb.run(args, (fraction) => progress?.at(fraction));
      } finally {
        progress?.end();
      }
    },
  };
}

/** Percent on standard error: over itself on a terminal, else a line for every ten. */
class Progress {
  private last = 0;
  private readonly terminal = process.stderr.isTTY === true;

  at(fraction: number): void {
    const percent = Math.floor(fraction * 100);
    if (percent < this.last + (this.terminal ? 1 : 10)) return;
    this.last = percent;
    process.stderr.write(this.terminal ? `\r${percent} %` : `${percent} %\n`);
  }

  end(): void {
    if (this.terminal && this.last > 0) process.stderr.write('\r\x1b[K');
  }
}

/** The result, as lines for people or as JSON. */
export function print(args: ParsedArgs, json: object, lines: readonly string[]): void {
  const text = args.has('json') ? JSON.stringify(json, null, 2) : lines.join('\n');
  if (text !== '') process.stdout.write(`${text}\n`);
}

export const specAt = (args: ParsedArgs, index: number): FileSpec =>
  parseFileSpec(args.positional[index]!);

/** Works on disks and closes them; what closing says counts when the work went well. */
export async function using<T>(disks: readonly Disk[], work: () => Promise<T>): Promise<T> {
  let result: T;
  try {
    result = await work();
  } catch (error) {
    await Promise.allSettled(disks.map((disk) => disk.close()));
    throw error;
  }
  for (const disk of disks) await disk.close();
  return result;
}

/** What a new image is like; `create` and `convert` have these. */
export const imageFlags: FlagTable = {
  force: { help: 'replaces a file that is there' },
  'cluster-size': { value: 'SIZE', help: '512 to 2M (64K)' },
  version: { value: '2|3', help: 'of the qcow2 format (3)' },
  'refcount-bits': { value: 'N', help: '1, 2, 4 ... 64 (16)' },
  'lazy-refcounts': { help: 'counts are written when it is closed, and repaired after a crash' },
  'extended-l2': { help: 'clusters of 32 parts, each on its own' },
  compression: { value: 'zlib|zstd', help: 'of compressed clusters (zlib)' },
};

export function imageOptions(args: ParsedArgs): CreateOptions {
  const size = args.one('cluster-size');
  const bits = args.one('refcount-bits');
  const version = args.one('version');
  const compression = args.one('compression');
  return {
    ...(size === undefined ? {} : { clusterBytes: parseSize('--cluster-size', size) }),
    ...(bits === undefined ? {} : { refcountBits: parseNumber('--refcount-bits', bits, 1, 64) }),
    ...(version === undefined
      ? {}
      : { version: Number(parseWord('--version', version, ['2', '3'])) as 2 | 3 }),
    ...(compression === undefined
      ? {}
      : { compression: parseWord('--compression', compression, ['zlib', 'zstd']) }),
    lazyRefcounts: args.has('lazy-refcounts'),
    extendedL2: args.has('extended-l2'),
  };
}

/** Nothing is lost by a name typed twice. */
export function checkNew(args: ParsedArgs, ...paths: (string | undefined)[]): void {
  const there = paths.find((path) => path !== undefined && existsSync(path));
  if (there === undefined || args.has('force')) return;
  throw new CliError(exitStatus.badInput, `${there} is there already; --force replaces it`);
}

export function size(bytes: number): string {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  const power = bytes === 0 ? 0 : Math.min(Math.floor(Math.log2(bytes) / 10), 5);
  const value = bytes / 2 ** (power * 10);
  return `${Number.isInteger(value) ? value : value.toFixed(1)} ${units[power]}`;
}
