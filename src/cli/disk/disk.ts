import { suggestion } from '../args.js';
import { exitStatus, usageError } from '../exit-status.js';
import type { Verb } from '../verb.js';
import { check, repair } from './check.js';
import { commit } from './commit.js';
import { compare } from './compare.js';
import { convert } from './convert.js';
import { create } from './create.js';
import { info } from './info.js';
import { map } from './map.js';
import { rebase } from './rebase.js';
import { resize } from './resize.js';
import { snapshot } from './snapshot.js';

const verbs: Readonly<Record<string, Verb>> = {
  create,
  info,
  resize,
  convert,
  check,
  repair,
  commit,
  rebase,
  map,
  compare,
  snapshot,
};

/** `chassis disk VERB`: images, while no machine uses them. */
export const disk: Verb = {
  summary: 'make, convert, check and change disk images',
  usage(argv = []) {
    const name = argv.find((word) => Object.hasOwn(verbs, word));
    if (name !== undefined) return verbs[name]!.usage();
    const lines = Object.entries(verbs).map(
      ([verb, { summary }]) => `  ${verb.padEnd(10)}${summary}\n`,
    );
    return (
      `usage: chassis disk VERB ...\n\n${lines.join('')}\n` +
      'chassis disk VERB --help shows its flags, and how a file is written.\n\n' +
      'Example:\n  chassis disk convert a.raw,format=raw b.qcow2,format=qcow2\n'
    );
  },
  async run([name, ...rest]) {
    if (name === undefined) {
      process.stderr.write(disk.usage());
      return exitStatus.usage;
    }
    if (Object.hasOwn(verbs, name)) return verbs[name]!.run(rest);
    const near = suggestion(name, Object.keys(verbs));
    throw usageError(`disk: unknown verb "${name}"${near}; chassis disk --help lists them`);
  },
};
