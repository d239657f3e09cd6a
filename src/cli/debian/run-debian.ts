import { join } from 'node:path';
import { describeFlags, type FlagTable, type ParsedArgs, parseArgs } from '../args.js';
import { CliError, exitStatus, usageError } from '../exit-status.js';
import { buildFlags, debianOptions, stepsOf } from '../image/build.js';
import { buildDebian } from '../image/build-debian.js';
import { rootArguments } from '../image/debian-recipe.js';
import {
  checkName,
  findImage,
  findVm,
  type ImageRecord,
  imageFiles,
  imageNamed,
  imagesFolder,
  type VmRecord,
} from '../image/store.js';
import { runFlags, runMachine } from '../run.js';
import type { Verb } from '../verb.js';
import { seedFlags, seedOf } from './seed-flags.js';
import { createVm, removeVm, vmFile, writeSeed, writeVm } from './vm.js';

/** What `run` is told by us, and what makes no sense beside it. */
const ours = ['kernel', 'initrd', 'append', 'firmware', 'console', 'serial', 'load', 'memory'];

/** What goes to `run` as it is. */
const passed: FlagTable = Object.fromEntries(
  Object.entries(runFlags).filter(([name]) => !ours.includes(name)),
);

/** What says which image a new VM stands on. */
const imageFlags: FlagTable = {
  image: {
    value: 'NAME',
    help: 'what a new VM starts from (debian-SUITE, built if it is not there)',
  },
  ...buildFlags,
};

const flags: FlagTable = {
  name: { value: 'NAME', help: 'of the VM, which keeps its disk (debian)' },
  memory: { value: 'SIZE', help: 'guest RAM (1G)' },
  fresh: { help: 'starts it anew: all that is on its disk is lost' },
  remove: { help: 'takes the VM away, and starts nothing' },
  ...seedFlags,
  ...imageFlags,
  append: { value: 'TEXT', help: 'more words for the kernel’s command line' },
  ...passed,
};

/** `chassis run debian`. */
export const runDebian: Verb = {
  summary: 'run a Debian on a disk of its own',
  usage: () =>
    `usage: chassis run debian [flags]\n\n${describeFlags(flags)}\n` +
    'The first time it builds the image (see chassis image build --help); the VM’s own disk is an\n' +
    'overlay over it. The window’s size reaches the guest by the virtio console, hvc0; what the\n' +
    'serial port says is in serial.log beside the disk. Its network is --net user, unless\n' +
    'another is given; --net none is none.\n\n' +
    'Examples:\n' +
    '  chassis run debian\n' +
    '  chassis run debian --name lab --memory 2G --ssh-key ~/.ssh/id_ed25519.pub \\\n' +
    '    --net user,forward=tcp:127.0.0.1:2222:22\n' +
    '  chassis run debian --name lab --fresh --user ada --hostname lab.example\n\n' +
    'Log in as debian with the password debian; poweroff, or Ctrl-A x, ends it.\n',
  async run(argv) {
    const args = parseArgs(argv, flags);
    const [stray] = args.positional;
    if (stray !== undefined) throw usageError(`run debian: found "${stray}", wanted flags only`);
    const name = checkName('--name', args.one('name') ?? 'debian');
    if (args.has('remove') || (args.has('fresh') && findVm(name) !== undefined)) {
      await removeVm(name);
    }
    if (args.has('remove')) return exitStatus.ok;
    const found = findVm(name);
    // Before what takes a minute.
    const seed = seedOf(args, name, found === undefined);
    const image = await imageOf(args, name, found);
    const record = found ?? (await createVm(name, image));
    const vm = seed === undefined ? record : writeSeed(name, record, seed);
    if (seed !== undefined) {
      const login = `user ${seed.user}, password ${seed.password}`;
      process.stderr.write(`chassis: VM ${name} takes its settings at this start: ${login}\n`);
    }
    const { outcome, status } = await runMachine(runArguments(args, name, image, vm));
    // Whoever pulls the plug may have stopped cloud-init in the middle.
    if (outcome.kind === 'powered-off' && !vm.seeded) writeVm(name, { ...vm, seeded: true });
    return status;
  },
};

/** The image that a VM stands on, or a new one is to; built where it is not there. */
async function imageOf(
  args: ParsedArgs,
  name: string,
  found: VmRecord | undefined,
): Promise<ImageRecord> {
  const asks = Object.keys(imageFlags).some((flag) => args.has(flag));
  const options = debianOptions(args, args.one('image'));
  if (found !== undefined) {
    if (!asks || options.name === found.image) return imageNamed(found.image);
    const mend = '--fresh starts it anew, --name makes another';
    const wanted = `VM ${name} stands on image ${found.image}, not on ${options.name}`;
    throw new CliError(exitStatus.badInput, `${wanted}; ${mend}`);
  }
  return findImage(options.name) ?? (await buildDebian(options, stepsOf(options.name)));
}

function runArguments(args: ParsedArgs, name: string, image: ImageRecord, vm: VmRecord): string[] {
  const imageFile = (file: keyof typeof imageFiles) =>
    join(imagesFolder(), image.name, imageFiles[file]);
  const disk = (file: 'disk' | 'seed', settings: string) =>
    `--disk=${vmFile(name, file).replaceAll(',', ',,')},${settings}`;
  const more = args.one('append');
  const words = [rootArguments, 'console=ttyS0 console=hvc0 loglevel=4', more ?? ''];
  return [
    ...[`--kernel=${imageFile('kernel')}`, `--initrd=${imageFile('initrd')}`],
    ...[`--append=${words.join(' ').trimEnd()}`, `--memory=${args.one('memory') ?? '1G'}`],
    disk('disk', 'format=qcow2'),
    ...(vm.seeded ? [] : [disk('seed', 'format=raw,readonly=on')]),
    ...['--console=stdio', `--serial=file:${vmFile(name, 'serial')}`],
    ...(args.has('rng') ? [] : ['--rng']),
    ...(args.has('net') ? [] : ['--net=user']),
    ...Object.entries(passed).flatMap(([flag, { value }]) =>
      args.all(flag).map((each) => (value === undefined ? `--${flag}` : `--${flag}=${each}`)),
    ),
  ];
}
