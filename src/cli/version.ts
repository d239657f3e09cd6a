import { readFileSync } from 'node:fs';
import { exitStatus } from './exit-status.js';
import type { Verb } from './verb.js';

/** package.json, which is the only place that has the version, and the Node it wants. */
export function packageManifest(): { version: string; engines: { node: string } } {
  return JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
}

export const version: Verb = {
  summary: 'print the version',
  usage: () => 'usage: chassis version\n',
  async run() {
    process.stdout.write(`chassis ${packageManifest().version}\n`);
    return exitStatus.ok;
  },
};
