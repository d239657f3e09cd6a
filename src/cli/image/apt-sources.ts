import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CliError, exitStatus } from '../exit-status.js';

/** Sources of apt in its two formats, which a file may not mix; '' where there are none. */
export interface AptSources {
  readonly list: string;
  readonly sources: string;
}

/**
 * The host's own apt sources for Debian, with the host's suite replaced by another: mirrors and keys
 * are the host's matter. Sources of anything else are left out. `folder` is /etc, or stands for it.
 */
export function aptSources(suite: string, folder = '/etc'): AptSources {
  const release = textOf(join(folder, 'os-release'));
  const host = /^VERSION_CODENAME="?([\w.-]+)/m.exec(release)?.[1];
  const apt = join(folder, 'apt');
  // Its updates and its security suite are the suite's; backports and what is proposed are not.
  const word = new RegExp(`(?<=^|\\s)${host}(?=(-updates|-security|/updates)?(\\s|$))`, 'gm');
  const isDebian = (entry: string) =>
    entry.search(word) >= 0 && /\bdebian\b.*\bmain\b/s.test(entry);
  const take = (entries: string[], after: string) =>
    entries
      .filter((entry) => host !== undefined && isDebian(entry))
      .map((entry) => `${entry.trim().replace(word, suite)}${after}`)
      .join('');
  const files = [join(apt, 'sources.list'), ...filesOf(join(apt, 'sources.list.d'))];
  const texts = (end: string) =>
    files
      .filter((file) => file.endsWith(end))
      .map((file) => textOf(file).replace(/^\s*#.*\n/gm, ''));
  const list = take(
    texts('.list').flatMap((text) => text.split('\n').filter((line) => /^deb\s/.test(line))),
    '\n',
  );
  const sources = take(
    texts('.sources').flatMap((text) => text.split(/\n\s*\n/)),
    '\n\n',
  );
  if (`${list}${sources}` !== '') return { list, sources };
  const found = host === undefined ? 'no VERSION_CODENAME in os-release' : `none of ${host}`;
  const wanted = 'wanted Debian’s main, to take packages from';
  throw new CliError(exitStatus.badInput, `sources in ${apt}: found ${found}, ${wanted}`);
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function filesOf(folder: string): string[] {
  try {
    return readdirSync(folder)
      .sort()
      .map((name) => join(folder, name));
  } catch {
    return [];
  }
}
