import { DiskError } from './disk.js';

export type DiskFormat = 'raw' | 'qcow2';

/** A disk as users name it: `FILE,format=raw|qcow2[,backing=FILE]...`; a comma in a name is `,,`. */
export interface FileSpec {
  readonly path: string;
  readonly format: DiskFormat;
  /** In place of the backing file that the image names; relative to where the command runs. */
  readonly backing?: string;
  readonly backingFormat?: DiskFormat;
  /** In place of the data file that the image names. */
  readonly dataFile?: string;
  /** Past the host's page cache. */
  readonly direct: boolean;
  /** Reads a file that another process may be writing to. */
  readonly unlocked: boolean;
}

const words: Readonly<Record<string, readonly string[] | undefined>> = {
  format: ['raw', 'qcow2'],
  'backing-format': ['raw', 'qcow2'],
  cache: ['cached', 'direct'],
  lock: ['on', 'off'],
};

export const fileSpecHelp = `A file is written FILE,format=raw|qcow2 with, where wanted,
  backing=FILE            another backing file than the one the image names
  backing-format=FORMAT   and its format
  data-file=FILE          another data file than the one the image names
  cache=cached|direct     through the host's page cache (cached)
  lock=on|off             off reads a file that another process may be writing to (on)
`;

/** Throws a {@link DiskError} `usage` that names the key, what was found and what would be right. */
export function parseFileSpec(text: string): FileSpec {
  const refuse = (why: string): never => {
    throw new DiskError('usage', `${text}: ${why}`);
  };
  const [path, ...parts] = text.split(/(?<!,),(?!,)/).map((part) => part.replaceAll(',,', ','));
  const given = new Map<string, string>();
  for (const part of parts) {
    const equals = part.indexOf('=');
    const [key, value] = [part.slice(0, Math.max(equals, 0)), part.slice(equals + 1)];
    if (!(Object.hasOwn(words, key) || key === 'backing' || key === 'data-file')) {
      const known = [...Object.keys(words), 'backing', 'data-file'].join(', ');
      refuse(`found "${part}", wanted KEY=VALUE with one of ${known}`);
    }
    if (given.has(key)) refuse(`${key} is given twice; it can be given once`);
    const wanted = words[key];
    if (value === '' || (wanted !== undefined && !wanted.includes(value))) {
      refuse(`${key}: found "${value}", wanted ${wanted?.join(' or ') ?? 'a file'}`);
    }
    given.set(key, value);
  }
  if (path === '') refuse('found no file name before the comma');
  if (!given.has('format')) {
    refuse('found no format, wanted FILE,format=raw or FILE,format=qcow2: it is never guessed');
  }
  const optional = (key: string, name: keyof FileSpec) =>
    given.has(key) ? { [name]: given.get(key) } : {};
  return {
    path: path!,
    format: given.get('format') as DiskFormat,
    ...optional('backing', 'backing'),
    ...optional('backing-format', 'backingFormat'),
    ...optional('data-file', 'dataFile'),
    direct: given.get('cache') === 'direct',
    unlocked: given.get('lock') === 'off',
  };
}
