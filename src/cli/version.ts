import { readFileSync } from 'node:fs';
import { exitStatus } from './exit-status.js';
import type { Verb } from './verb.js';

/** The version in package.json, which is the only place that has it. */
function packageVersion(): string {
  const manifest = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return JSON.parse(manifest).version;
}

export const version: Verb = {
  summary: 'print the version',
  usage: () => 'usage: chassis version\n',
  async run() {
    process.stdout.write(`chassis ${packageVersion()}\n`);
    return exitStatus.ok;
  },
};
