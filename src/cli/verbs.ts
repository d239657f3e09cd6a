import { runDebian } from './debian/run-debian.js';
import { disasm } from './disasm.js';
import { disk } from './disk/disk.js';
import { doctor } from './doctor.js';
import { exitStatus, usageError } from './exit-status.js';
import { image } from './image/image.js';
import { inspect } from './inspect.js';
import { jitDump } from './jit-dump.js';
import { run } from './run.js';
import type { Verb } from './verb.js';
import { version } from './version.js';

/** The commands' list. It needs the table of verbs, so it stands with it. */
const help: Verb = {
  summary: 'show the commands, or one command’s flags',
  usage() {
    const width = Math.max(...Object.keys(verbs).map((name) => name.length)) + 2;
    const lines = Object.entries(verbs).map(
      ([name, verb]) => `  ${name.padEnd(width)}${verb.summary}\n`,
    );
    return `usage: chassis COMMAND ...\n\n${lines.join('')}\nchassis COMMAND --help shows its flags.\n`;
  },
  async run([name]) {
    if (name === undefined) process.stdout.write(help.usage());
    else if (Object.hasOwn(verbs, name)) process.stdout.write(verbs[name]!.usage());
    else throw usageError(`unknown command "${name}"; chassis help lists the commands`);
    return exitStatus.ok;
  },
};

/** `run`, and what a word after it names. */
const runs: Verb = {
  summary: run.summary,
  usage: (argv = []) => (argv[0] === 'debian' ? runDebian : run).usage(),
  run: (argv) => (argv[0] === 'debian' ? runDebian.run(argv.slice(1)) : run.run(argv)),
};

export const verbs: Readonly<Record<string, Verb>> = {
  run: runs,
  inspect,
  disk,
  image,
  doctor,
  disasm,
  'jit-dump': jitDump,
  version,
  help,
};
