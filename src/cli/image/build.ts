import {
  describeFlags,
  type FlagTable,
  type ParsedArgs,
  parseArgs,
  parseSize,
  parseWord,
} from '../args.js';
import { print, size } from '../disk/disk-verb.js';
import { CliError, exitStatus, usageError } from '../exit-status.js';
import type { Verb } from '../verb.js';
import { buildDebian, type DebianOptions, type Say } from './build-debian.js';
import { checkName, findImage, vmsOf } from './store.js';

/** What an image is like; `run debian` has these too. */
export const buildFlags: FlagTable = {
  suite: { value: 'NAME', help: 'of Debian (bookworm)' },
  size: { value: 'SIZE', help: 'of the disk as the guest sees it (4G)' },
  packages: { value: 'A,B,...', help: 'more packages in it' },
  format: { value: 'qcow2|raw', help: 'of the disk’s file (qcow2)' },
};

const flags: FlagTable = {
  ...buildFlags,
  name: { value: 'NAME', help: 'what it is called (debian-SUITE)' },
  force: { help: 'replaces an image that is there' },
  json: { help: 'the result as JSON, for programs' },
};

const leastBytes = 1 << 30;
const mostBytes = 2 ** 41;

/** What the flags ask for. */
export function debianOptions(args: ParsedArgs, named: string | undefined): DebianOptions {
  const suite = args.one('suite') ?? 'bookworm';
  if (!/^[a-z][a-z\d-]*$/.test(suite)) {
    throw usageError(`--suite: found "${suite}", wanted a suite of Debian such as bookworm`);
  }
  const text = args.one('size') ?? '4G';
  const sizeBytes = parseSize('--size', text);
  if (sizeBytes < leastBytes || sizeBytes > mostBytes || sizeBytes % (1 << 20) !== 0) {
    throw usageError(`--size: found "${text}", wanted 1G to 2048G in whole MiB`);
  }
  const packages = (args.one('packages') ?? '').split(',').filter((name) => name !== '');
  const wrong = packages.find((name) => !/^[a-z\d][a-z\d.+-]+$/.test(name));
  if (wrong !== undefined) {
    throw usageError(`--packages: found "${wrong}", wanted names of packages and commas`);
  }
  const format = parseWord('--format', args.one('format') ?? 'qcow2', ['qcow2', 'raw']);
  const name = checkName('--name', named ?? `debian-${suite}`);
  return { name, suite, sizeBytes, packages: packages.sort(), format };
}

/** A line a step on standard error, with the time since the first. */
export function stepsOf(name: string): Say {
  const from = performance.now();
  return (step) => {
    const seconds = ((performance.now() - from) / 1000).toFixed(0).padStart(3);
    process.stderr.write(`${name}: ${seconds} s  ${step}\n`);
  };
}

export const build: Verb = {
  summary: 'make an image from a distribution’s packages',
  usage: () =>
    `usage: chassis image build debian [flags]\n\n${describeFlags(flags)}\n` +
    'The packages come from where apt on this host has them from. It needs no root, but the\n' +
    'programs mmdebstrap, fakeroot and mke2fs, and about a minute.\n\n' +
    'Examples:\n' +
    '  chassis image build debian --suite bookworm --size 4G\n' +
    '  chassis image build debian --name lab --packages fio,iperf3,ethtool\n',
  async run(argv) {
    const args = parseArgs(argv, flags);
    const [distribution, ...more] = args.positional;
    if (distribution !== 'debian' || more.length > 0) {
      const found = args.positional.join(' ') || 'nothing';
      throw usageError(`image build: found "${found}", wanted debian`);
    }
    const options = debianOptions(args, args.one('name'));
    const { name } = options;
    const there = findImage(name) !== undefined;
    if (there && !args.has('force')) {
      const mend = '--force replaces it, --name makes another';
      throw new CliError(exitStatus.badInput, `image ${name} is there already; ${mend}`);
    }
    checkUnused(name);
    const made = await buildDebian(options, stepsOf(name));
    const lines = [
      `${name}: ${made.format}, ${size(made.sizeBytes)}; chassis image inspect ${name}`,
    ];
    print(args, made, lines);
    return exitStatus.ok;
  },
};

/** An overlay over another base than its own is rubbish. */
export function checkUnused(name: string): void {
  const users = vmsOf(name);
  if (users.length === 0) return;
  const vms = `${users.length === 1 ? 'VM' : 'VMs'} ${users.join(', ')}`;
  const mend = 'chassis run debian --name NAME --remove takes a VM away';
  throw new CliError(exitStatus.badInput, `the disk of ${vms} stands on image ${name}; ${mend}`);
}
