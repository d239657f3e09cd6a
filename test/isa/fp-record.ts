/** Runs the cases of fp-native's records (see fp-native.c) in the bare runtime and compares. */
import * as L from '#src/cpu/state/layout.js';
import { type BareRuntime, RAM } from './bare-runtime.js';
import { type FpInstruction, OPERAND, type Outcome } from './fp-instructions.js';
import { UNWIND } from './raw-cpu.js';

const CPU = L.VCPU_AREA;
const XMM0 = CPU + L.XMM;
const XMM1 = XMM0 + L.XMM_SIZE;
// Beyond 64 KiB, so that no 16-bit environment names them by chance.
const CODE = 0x1_5000;
const OLD_IP = 0x12_3456_789an;
const OLD_DP = 0x23_4567_89abn;
const C1 = 0x200;
const UE = 0x10;

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

function run(
  runtime: BareRuntime,
  insn: FpInstruction,
  input: bigint,
): { trap: boolean; outcome: Outcome } {
  try {
    const pending = insn.waits && runtime.view.getUint16(CPU + L.X87_STATUS, true) & 0x80;
    if (!insn.line.startsWith('s') && pending) runtime.call('x87_pending');
    return { trap: false, outcome: insn.run(runtime, input) };
  } catch (error) {
    if (error !== UNWIND) throw error;
    return { trap: true, outcome: {} };
  }
}

/** What differs, or ''. */
export function sseDifference(runtime: BareRuntime, insn: FpInstruction, record: Buffer): string {
  const { bytes, view } = runtime;
  bytes.set(record.subarray(8, 24), XMM0);
  bytes.set(record.subarray(24, 40), XMM1);
  view.setUint32(CPU + L.MXCSR, record.readUInt32LE(4), true);
  const { trap, outcome } = run(runtime, insn, record.readBigInt64LE(40));
  const out: string[] = [];
  const compare = (what: string, mine: unknown, host: unknown): void => {
    if (mine !== host) out.push(`${what} ${mine}, host ${host}`);
  };
  compare('trap', trap, record.readUInt16LE(2) !== 0);
  compare('xmm0', text(bytes.slice(XMM0, XMM0 + 16)), text(record.subarray(48, 64)));
  compare('mxcsr', view.getUint32(CPU + L.MXCSR, true), record.readUInt32LE(72));
  if (outcome.rax !== undefined) compare('rax', outcome.rax, record.readBigUInt64LE(64));
  if (outcome.flags !== undefined) compare('flags', outcome.flags, record.readUInt32LE(76));
  return (
    out.join('; ') &&
    `${insn.name} [${insn.line}] ${text(record.subarray(4, 48))}: ${out.join('; ')}`
  );
}

function loadX87({ bytes, view }: BareRuntime, from: Buffer): void {
  view.setUint16(CPU + L.X87_CONTROL, from.readUInt16LE(0), true);
  view.setUint16(CPU + L.X87_STATUS, from.readUInt16LE(2), true);
  view.setUint16(CPU + L.X87_OPCODE, from.readUInt16LE(4), true);
  bytes[CPU + L.X87_TAG] = from[6]!;
  const top = (from.readUInt16LE(2) >> 11) & 7;
  for (let i = 0; i < 8; i++) {
    const at = CPU + L.X87 + ((top + i) & 7) * L.X87_SIZE;
    bytes.set(from.subarray(8 + i * 10, 18 + i * 10), at);
  }
  view.setBigUint64(CPU + L.X87_IP, OLD_IP, true);
  view.setBigUint64(CPU + L.X87_DP, OLD_DP, true);
}

function saveX87({ bytes, view }: BareRuntime): Buffer {
  const to = Buffer.alloc(88);
  const status = view.getUint16(CPU + L.X87_STATUS, true);
  to.writeUInt16LE(view.getUint16(CPU + L.X87_CONTROL, true), 0);
  to.writeUInt16LE(status, 2);
  to.writeUInt16LE(view.getUint16(CPU + L.X87_OPCODE, true), 4);
  to[6] = bytes[CPU + L.X87_TAG]!;
  for (let i = 0; i < 8; i++) {
    const at = CPU + L.X87 + (((status >> 11) + i) & 7) * L.X87_SIZE;
    to.set(bytes.slice(at, at + 10), 8 + i * 10);
  }
  const ip = view.getBigUint64(CPU + L.X87_IP, true);
  const dp = view.getBigUint64(CPU + L.X87_DP, true);
  const bits = [ip === BigInt(CODE), dp === BigInt(OPERAND), ip === OLD_IP, dp === OLD_DP];
  to[7] = bits.reduce((sum, bit, n) => sum | (bit ? 1 << n : 0), 0);
  return to;
}

/** Neighbours have neighbouring ordinals, across exponents too. */
function ordinal(bits: bigint): bigint {
  return ((bits >> 64n) << 63n) | (bits & 0x7fff_ffff_ffff_ffffn);
}

export interface X87Difference {
  readonly text: string;
  /** Nothing but the last place of a transcendental result, C1, and UE where that makes it a denormal. */
  readonly lastPlace: boolean;
}

export function x87Difference(
  runtime: BareRuntime,
  insn: FpInstruction,
  record: Buffer,
): X87Difference | null {
  const { bytes, view } = runtime;
  const size = insn.line.startsWith('x') ? 16 : 112;
  const memory = RAM + OPERAND;
  loadX87(runtime, record.subarray(8, 96));
  bytes.set(record.subarray(192, 192 + size), memory);
  bytes.set(Buffer.from(insn.line.split(' ').slice(2).join(''), 'hex'), RAM + CODE);
  view.setBigUint64(CPU + L.RIP, BigInt(CODE), true);
  const { trap, outcome } = run(runtime, insn, BigInt(record.readUInt32LE(4)));
  const mine = saveX87(runtime);
  const host = record.subarray(96, 184);
  const out: string[] = [];
  let lastPlace = insn.approximate;
  const compare = (what: string, a: unknown, b: unknown, close = false): void => {
    if (a === b) return;
    out.push(`${what} ${a}, host ${b}`);
    if (!close) lastPlace = false;
  };
  compare('trap', trap, record.readUInt16LE(2) !== 0);
  compare('fcw', mine.readUInt16LE(0), host.readUInt16LE(0));
  const [a, b] = [mine.readUInt16LE(2), host.readUInt16LE(2)];
  compare('fsw', a, b, ((a ^ b) & ~(C1 | UE)) === 0);
  compare('fop', mine.readUInt16LE(4), host.readUInt16LE(4));
  compare('tag', mine[6], host[6]);
  compare('pointers', mine[7], host[7]);
  for (let i = 0; i < 8; i++) {
    const [x, y] = [mine, host].map((s) =>
      BigInt(`0x${text(s.subarray(8 + i * 10, 18 + i * 10).toReversed())}`),
    );
    const apart = ordinal(x!) - ordinal(y!);
    compare(`st${i}`, x!.toString(16), y!.toString(16), apart >= -1n && apart <= 1n);
  }
  const after = record.subarray(192 + size, 192 + 2 * size);
  compare('memory', text(bytes.slice(memory, memory + size)), text(after));
  if (outcome.flags !== undefined) compare('flags', outcome.flags, record.readUInt32LE(188));
  if (out.length === 0) return null;
  const before = text(record.subarray(8, 118));
  return { text: `${insn.name} [${insn.line}] ${before}: ${out.join('; ')}`, lastPlace };
}
