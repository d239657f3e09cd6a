import { type CharBackend, noChar } from '../backend/char/char.js';
import type { Disk } from '../backend/disk/disk.js';
import type { NetBackend } from '../backend/net/guest-port.js';
import { collectAfterStart } from '../backend/node/collect-garbage.js';
import { HostClock } from '../backend/node/host-clock.js';
import { hostRandom } from '../backend/node/host-random.js';
import { hostSchedule } from '../backend/node/host-schedule.js';
import { memoryRelease } from '../backend/node/release-memory.js';
import { createMachine } from '../machine/create-machine.js';
import type { HostServices, Machine, Outcome } from '../machine/machine.js';
import { loadMachine, Snapshot } from '../machine/snapshot.js';
import { VirtioConsole } from '../virtio/console/console.js';
import { describeFlags, type FlagTable, type ParsedArgs, parseArgs } from './args.js';
import { closeDisks, openDisks } from './disk-flags.js';
import { openEngine, tryKvm } from './engines.js';
import { exitStatus, usageError } from './exit-status.js';
import { checkWritable, openOutput, readInput, writeWhole } from './host-files.js';
import {
  consolePorts,
  engineChoice,
  machineConfig,
  machineFlags,
  softOptions,
  traceWords,
} from './machine-flags.js';
import { closeNets, netHelp, openNets } from './net-flags.js';
import { stderrLog } from './stderr-log.js';
import { openTerminal, type Terminal, watchWindow } from './terminal.js';
import type { Verb } from './verb.js';

/** What `run` takes. */
export const runFlags: FlagTable = {
  ...machineFlags,
  serial: {
    value: 'stdio|none|file:PATH',
    help: 'what is behind the serial port (stdio, unless --console has it)',
  },
  debugcon: { value: 'FILE', help: 'gets what the guest writes to port 0x402' },
  'save-on-exit': { value: 'FILE', help: 'saves the whole machine when the run ends' },
  load: { value: 'FILE', help: 'goes on from a saved machine' },
  trace: {
    value: 'exits|ints|jit|...',
    repeatable: true,
    help: 'shows events on standard error; of the JIT also a table at the end, or now on SIGUSR2',
  },
};

/** A saved machine says these itself. */
const savedFlags = [
  'machine',
  'cpus',
  'cpu',
  'memory',
  'kernel',
  'unpack',
  'initrd',
  'append',
  'firmware',
  'disk',
  'net',
  'rng',
  'balloon',
  'device',
];

export const run: Verb = {
  summary: 'run a machine until it powers off',
  usage: () =>
    `usage: chassis run [flags]\n       chassis run debian [flags]\n\n${describeFlags(runFlags)}\n${netHelp}\n` +
    'Examples:\n' +
    '  chassis run --kernel vmlinuz --initrd initramfs.cpio --append console=ttyS0\n' +
    '  chassis run --kernel vmlinuz --append root=/dev/vda1 --disk debian.qcow2,format=qcow2\n' +
    '  chassis run ... --net user,forward=tcp:127.0.0.1:2222:22,pcap=traffic.pcap\n' +
    '  chassis run --firmware bios-256k.bin --debugcon seabios.log\n' +
    '  chassis run --load saved --trace exits,ints 2>trace.log\n\n' +
    'chassis run debian --help shows what a whole Debian takes.\n' +
    'On a terminal: Ctrl-A x ends the machine, Ctrl-A h shows the keys.\n' +
    'Ends with 0 when the guest powered off, 64 for bad usage, 65 for a bad input file, 69 when the\n' +
    'engine is not there, 70 for a bug of ours, 75 when the guest crashed its machine.\n',
  run: async (argv) => (await runMachine(argv)).status,
};

/** Runs a machine to its end: how it ended, and the status that says so. */
export async function runMachine(
  argv: readonly string[],
): Promise<{ outcome: Outcome; status: number }> {
  const args = parseArgs(argv, runFlags);
  const saveTo = args.one('save-on-exit');
  if (saveTo !== undefined) checkWritable('--save-on-exit', saveTo);
  const ending = new Ending();
  const behindConsole = args.one('console') ?? 'none';
  const serialDefault = behindConsole === 'stdio' ? 'none' : 'stdio';
  const serial = openChar('--serial', args.one('serial') ?? serialDefault, ending);
  const console = openChar('--console', behindConsole, ending);
  const disks: Disk[] = [];
  const nets: NetBackend[] = [];
  let unwatch = () => {};
  const restore = () => {
    unwatch();
    serial.restore();
    console.restore();
  };
  try {
    const machine = await openMachine(args, serial.char, console.char, disks, nets);
    ending.attach(machine);
    unwatch = watchWindow((columns, rows) => {
      for (const type of machine.virtio) {
        if (type instanceof VirtioConsole) type.resize(columns, rows);
      }
    });
    collectAfterStart();
    const outcome = await machine.run();
    if (saveTo !== undefined) writeWhole('--save-on-exit', saveTo, machine.save());
    machine.close();
    restore();
    return { outcome, status: statusOf(outcome, ending) };
  } finally {
    serial.char.close();
    console.char.close();
    restore();
    ending.detach();
    closeNets(nets);
    await closeDisks(disks);
  }
}

/** What a user or the host may end a run by: an escape key or a signal. */
class Ending {
  /** The number of the signal that ended the run. */
  signal = 0;
  private machine: Machine | undefined;
  private asked = false;
  private readonly handlers = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const;
  private readonly onSignal = (_name: NodeJS.Signals, number: number) => {
    this.signal = number;
    this.end();
  };

  constructor() {
    for (const name of Object.keys(this.handlers)) process.on(name, this.onSignal);
  }

  end(): void {
    this.asked = true;
    this.machine?.stop();
  }

  attach(machine: Machine): void {
    this.machine = machine;
    if (this.asked) machine.stop();
  }

  detach(): void {
    for (const name of Object.keys(this.handlers)) process.off(name, this.onSignal);
  }
}

function openChar(flag: string, wanted: string, ending: Ending): Terminal {
  if (wanted === 'stdio') return openTerminal(() => ending.end());
  if (wanted === 'none') return { char: noChar, restore() {} };
  if (wanted.startsWith('file:')) {
    return { char: openOutput(flag, wanted.slice('file:'.length)), restore() {} };
  }
  throw usageError(`${flag}: found "${wanted}", wanted stdio, none or file:PATH`);
}

/** `disks` and `nets` get what was opened, to be closed by the caller. */
async function openMachine(
  args: ParsedArgs,
  serial: CharBackend,
  console: CharBackend,
  disks: Disk[],
  nets: NetBackend[],
): Promise<Machine> {
  const debugcon = args.one('debugcon');
  const tracing = args.has('trace');
  const say = (sentence: string) => void process.stderr.write(`chassis: ${sentence}\n`);
  // A script that did not ask which engine it gets is not told.
  const asks = process.stderr.isTTY || args.one('engine') === 'auto';
  // Only asked for where it matters: it loads KVM's library.
  const other = args.one('cpu') === 'common' ? (await tryKvm()).engine : undefined;
  const host: HostServices = {
    ...(other === undefined ? {} : { peerCpuid: (vcpus: number) => other.cpuid(vcpus) }),
    engine: await openEngine(engineChoice(args), {
      soft: softOptions(args),
      ...(asks ? { say } : {}),
    }),
    clock: new HostClock(),
    schedule: hostSchedule,
    randomU32: hostRandom(),
    log: stderrLog(tracing),
    serial: [serial],
    disks,
    nets,
    ports: [console, ...consolePorts(args).map(({ path }) => openOutput('--port', path))],
    releaseMemory: memoryRelease(),
    ...(debugcon === undefined ? {} : { debugcon: openOutput('--debugcon', debugcon) }),
    ...(tracing ? { trace: (line: string) => process.stderr.write(`${line}\n`) } : {}),
  };
  const saved = args.one('load');
  if (saved === undefined) {
    const config = machineConfig(args);
    disks.push(...(await openDisks(config.devices)));
    nets.push(...(await openNets(config.devices)));
    return createMachine(config, host);
  }
  const clash = savedFlags.find((flag) => args.has(flag));
  if (clash !== undefined) {
    throw usageError(`--${clash} with --load: the saved machine says that itself`);
  }
  const snapshot = new Snapshot(readInput('--load', saved));
  disks.push(...(await openDisks(snapshot.config.devices)));
  nets.push(...(await openNets(snapshot.config.devices)));
  return loadMachine(snapshot, host, traceWords(args));
}

function statusOf(outcome: Outcome, ending: Ending): number {
  switch (outcome.kind) {
    case 'powered-off':
    case 'reset':
      return exitStatus.ok;
    case 'debug-exit':
      return outcome.status & 0xff;
    case 'crashed':
      process.stderr.write(`chassis: the guest crashed: ${outcome.reason}\n${outcome.report}\n`);
      return exitStatus.guestCrashed;
    case 'stopped':
      return ending.signal === 0 ? exitStatus.ok : 128 + ending.signal;
  }
}
