import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The repository's root, seen from dist/test/repo. */
export const root = join(dirname(fileURLToPath(import.meta.url)), '../../..');

/** Every file that git knows or would add, by its path from the root. */
export function sourceFiles(): string[] {
  const args = ['ls-files', '--cached', '--others', '--exclude-standard', '-z'];
  const listed = execFileSync('git', args, { cwd: root, encoding: 'utf8' }).split('\0');
  return [...new Set(listed)].filter((path) => path !== '' && existing(path)).sort();
}

export function read(path: string): string {
  return readFileSync(join(root, path), 'utf8');
}

/** A file may be deleted in the work tree and still be in the index. */
function existing(path: string): boolean {
  try {
    readFileSync(join(root, path));
    return true;
  } catch {
    return false;
  }
}

/**
 * Paths of modules a TypeScript file imports from this repository, resolved to its `.ts` files;
 * with `atRunTime` without those it imports types from only.
 */
export function importsOf(path: string, text: string, atRunTime = false): string[] {
  const found = text.matchAll(
    /^\s*(?:import|export)\s+(type\s)?[^;]*?from\s+'([.#][^']+)'|import\('([.#][^']+)'\)/gm,
  );
  return [...found]
    .filter(([, type]) => !(atRunTime && type !== undefined))
    .map((match) => {
      const target = (match[2] ?? match[3])!.replace(/\.js$/, '.ts');
      return target.startsWith('#') ? target.slice(1) : join(dirname(path), target);
    });
}
