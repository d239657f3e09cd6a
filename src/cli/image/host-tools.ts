import { spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { CliError, exitStatus } from '../exit-status.js';

/** Programs that an image is made with, and the Debian packages that have them. */
const packages = {
  mmdebstrap: 'mmdebstrap',
  fakeroot: 'fakeroot',
  mke2fs: 'e2fsprogs',
  tar: 'tar',
} as const;

type Tool = keyof typeof packages;

/** Where e2fsprogs is, which is no user's path. */
const alsoIn = ['/usr/sbin', '/sbin'];

/** Where a program is, undefined where it is not. */
export function findTool(name: string): string | undefined {
  const folders = [...(process.env.PATH ?? '').split(delimiter), ...alsoIn];
  return folders
    .map((folder) => join(folder, name))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

/** The paths of all of them; where some are missing, the packages to install are named. */
export function hostTools(): Readonly<Record<Tool, string>> {
  const names = Object.keys(packages) as Tool[];
  const missing = names.filter((name) => findTool(name) === undefined);
  if (missing.length > 0) {
    const install = missing.map((name) => packages[name]).join(' ');
    const what = `found no ${missing.join(' and no ')}, which images are made with`;
    throw new CliError(exitStatus.badInput, `${what}; on Debian: apt-get install ${install}`);
  }
  return Object.fromEntries(names.map((name) => [name, findTool(name)!])) as Record<Tool, string>;
}

export interface ToolRun {
  readonly input?: string;
  /** Each line of what the tool says on standard error. */
  readonly onLine?: (line: string) => void;
  readonly env?: NodeJS.ProcessEnv;
}

/** Runs a tool to its end; one that fails is a sentence with its last words. */
export function runTool(path: string, args: readonly string[], options: ToolRun): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(path, args, {
      stdio: ['pipe', 'ignore', 'pipe'],
      env: { ...process.env, LC_ALL: 'C.UTF-8', ...options.env },
    });
    const last: string[] = [];
    let rest = '';
    child.stderr.setEncoding('utf8').on('data', (text) => {
      const lines = `${rest}${text}`.split(/[\r\n]+/);
      rest = lines.pop()!;
      for (const line of lines) {
        last.push(line);
        if (last.length > 12) last.shift();
        options.onLine?.(line);
      }
    });
    child.stdin.on('error', () => {}).end(options.input ?? '');
    child.on('error', reject);
    child.on('close', (status, signal) => {
      if (status === 0) return resolve();
      const words = [...last, rest].filter((line) => line !== '').join('\n  ');
      const message = `${path} ended with ${signal ?? status}; its last words:\n  ${words}`;
      reject(new CliError(exitStatus.badInput, message));
    });
  });
}
