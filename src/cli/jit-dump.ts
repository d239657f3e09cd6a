import { noChar } from '../backend/char/char.js';
import { MemoryDisk } from '../backend/disk/memory-disk.js';
import { HostClock } from '../backend/node/host-clock.js';
import { hostRandom } from '../backend/node/host-random.js';
import { hostSchedule } from '../backend/node/host-schedule.js';
import { Decoder } from '../cpu/isa/decode.js';
import { instructionTable } from '../cpu/isa/index.js';
import { dumpRegion } from '../cpu/jit/dump-region.js';
import { regionText } from '../cpu/jit/region-listing.js';
import * as layout from '../cpu/state/layout.js';
import { type GuestCode, Snapshot, savedCode } from '../machine/snapshot.js';
import { describeFlags, type FlagTable, type ParsedArgs, parseArgs, parseNumber } from './args.js';
import { openEngine } from './engines.js';
import { CliError, exitStatus, usageError } from './exit-status.js';
import { readInput } from './host-files.js';
import { stderrLog } from './stderr-log.js';
import type { Verb } from './verb.js';

const flags: FlagTable = {
  load: { value: 'FILE', help: 'a saved machine; ADDRESS is linear, as its page tables have it' },
  bits: { value: '32|64', help: 'what the code of a plain file runs in (64)' },
  base: { value: 'N', help: 'where the guest has a plain file’s first byte (0)' },
  json: { help: 'as JSON, for programs' },
};
const PAGE = 4096;
/** Pages of guest code that a dump may look at. */
const MOST_PAGES = 64;
/** ES, CS, SS and DS; FS and GS may have a base. */
const FLAT = layout.KEY_FLAT * 0b1111;

export const jitDump: Verb = {
  summary: 'show what guest code is translated to',
  usage: () =>
    `usage: chassis jit-dump ADDRESS --load FILE\n       chassis jit-dump ADDRESS [flags] FILE\n\n${describeFlags(flags)}\n` +
    'Examples:\n' +
    '  chassis jit-dump 0xffffffff81000000 --load saved\n' +
    '  chassis jit-dump 0x1000 --base 0x1000 --bits 32 code.bin --json\n\n' +
    'Shows the region that begins at ADDRESS as if both ways of all its branches had been taken: its blocks,\n' +
    'the flags that each instruction writes and those that are needed, where flags are made, and the wasm.\n',
  async run(argv) {
    const args = parseArgs(argv, flags);
    const [address, ...files] = args.positional;
    if (address === undefined) throw usageError('jit-dump: wanted an ADDRESS such as 0x1000');
    const linear = parseAddress(address);
    const code = await openCode(args, files);
    const dump = dumpOf(code, linear);
    process.stdout.write(
      args.has('json')
        ? `${JSON.stringify({ address: linear.toString(16), ...dump }, null, 2)}\n`
        : `region at ${linear.toString(16)}: ${dump.instructions} instructions, ` +
            `${dump.blocks.length} blocks, ${dump.wasmBytes} bytes of wasm\n` +
            `${regionText(dump.blocks)}\n\n${dump.wasm}`,
    );
    return exitStatus.ok;
  },
};

function parseAddress(text: string): bigint {
  if (/^(0x[\da-f]{1,16}|\d{1,19})$/i.test(text)) return BigInt(text);
  throw usageError(`jit-dump: found "${text}", wanted an address such as 0xffffffff81000000`);
}

async function openCode(args: ParsedArgs, files: readonly string[]): Promise<GuestCode> {
  const saved = args.one('load');
  if (files.length + (saved === undefined ? 0 : 1) !== 1) {
    throw usageError('jit-dump: wanted one file, or --load with a saved machine');
  }
  if (saved !== undefined) {
    if (args.has('bits') || args.has('base')) {
      throw usageError('--bits, --base with --load: the saved machine says these itself');
    }
    const snapshot = new Snapshot(readInput('--load', saved));
    return savedCode(snapshot, {
      engine: await openEngine('soft'),
      clock: new HostClock(),
      schedule: hostSchedule,
      randomU32: hostRandom(),
      log: stderrLog(false),
      serial: [noChar],
      disks: snapshot.config.devices.map(() => new MemoryDisk(0)),
    });
  }
  const { data } = readInput('jit-dump', files[0]!);
  const bits = args.one('bits') ?? '64';
  if (bits !== '32' && bits !== '64') throw usageError(`--bits: found "${bits}", wanted 32 or 64`);
  const base = BigInt(parseNumber('--base', args.one('base') ?? '0', 0, 2 ** 53 - 1));
  return {
    mode: bits === '64' ? 2 : 1,
    base: 0n,
    limited: false,
    rip: base,
    page: (linear) => {
      const from = Number(linear - base);
      if (from <= -PAGE || from >= data.length) return undefined;
      const page = new Uint8Array(PAGE);
      page.set(data.subarray(Math.max(0, from), from + PAGE), Math.max(0, -from));
      return page;
    },
  };
}

function dumpOf(code: GuestCode, linear: bigint) {
  const bad = (why: string) =>
    new CliError(exitStatus.badInput, `jit-dump: ${linear.toString(16)}: ${why}`);
  const { mode } = code;
  if (mode === 0 || code.base !== 0n || code.limited) {
    throw bad('code in 16-bit segments, or in those with a base or limit, is not translated');
  }
  const first = linear & ~0xfffn;
  // Place 0 means that nothing is there.
  const bytes = new Uint8Array((MOST_PAGES + 1) * PAGE);
  const places = new Map<number, number>();
  let used = 0;
  const placeOfPage = (delta: number): number => {
    const known = places.get(delta);
    if (known !== undefined) return known;
    const at = BigInt.asUintN(mode === 2 ? 64 : 32, first + BigInt(delta) * BigInt(PAGE));
    const page = used < MOST_PAGES ? code.page(at) : undefined;
    const place = page === undefined ? 0 : ++used * PAGE;
    if (page !== undefined) bytes.set(page, place);
    places.set(delta, place);
    return place;
  };
  if (placeOfPage(0) === 0) throw bad('no memory is there');
  const view = {
    ...{ mode, placeOfPage },
    bytesOfPage: (place: number) => bytes.subarray(place, place + PAGE),
    generation: () => 0,
    wasRun: () => true,
    followed: () => [],
    mark() {},
  };
  const key = mode | layout.KEY_CODE | layout.KEY_STACK | FLAT;
  const target = { cpu: layout.VCPU_AREA, key, alone: true };
  const dump = dumpRegion(new Decoder(instructionTable), view, linear, target);
  if (dump === null) throw bad('the instruction there is left to the interpreter');
  return dump;
}
