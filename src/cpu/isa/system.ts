/** Ports, control and debug registers, MSRs, time, caches, fast system calls and hints. [SDM 2A, 2B] */
import type { Value } from '../emit/function-builder.js';
import * as L from '../state/layout.js';
import { privileged } from './segment.js';
import { type Operand, RAX, type Sem, UD } from './sem.js';
import type { Family, Semantic } from './table.js';

const nothing: Semantic = () => {};

/** A runtime function without operands that answers in the guest's registers. */
const call =
  (name: string): Semantic =>
  (s) =>
    void s.rt(name);

/** The same where what follows must be looked at anew. */
const callEnding =
  (name: string): Semantic =>
  (s) => {
    s.rt(name);
    s.next();
  };

// --- ports -----------------------------------------------------------------------------------------

function port(s: Sem, operand: Operand): Value {
  return s.andC(s.read(operand), operand.kind === 'imm' ? 0xff : 0xffff);
}

const inPort: Semantic = (s) => {
  const [dst, src] = s.operands as [Operand, Operand];
  const bytes = s.i32(s.bitsOf(dst) / 8);
  s.write(dst, s.rt('io_read', port(s, src), bytes));
};

/** A device may change memory or raise an interrupt: the block ends. */
const outPort: Semantic = (s) => {
  const [dst, src] = s.operands as [Operand, Operand];
  s.rt('io_write', port(s, dst), s.i32(s.bitsOf(src) / 8), s.read(src));
  s.next();
};

// --- control registers -------------------------------------------------------------------------------

function register(s: Sem): Operand {
  return s.operands.find((o) => o.kind === 'gpr')!;
}

const movFrom =
  (name: 'read_cr' | 'read_dr'): Semantic =>
  (s) => {
    const value = s.rt(name, s.fieldNumber('reg'));
    s.write(register(s), s.size === 64 ? value : s.wrap(value));
  };

const movTo =
  (name: 'write_cr' | 'write_dr'): Semantic =>
  (s) => {
    s.rt(name, s.fieldNumber('reg'), s.zext64(s.read(register(s))));
    s.next();
  };

const smsw: Semantic = (s) => {
  const [dst] = s.operands as [Operand];
  const value = s.rt('smsw');
  if (dst.kind === 'mem') s.write({ kind: 'mem', bits: 16 }, s.wrap(value));
  else s.write(dst, s.size === 64 ? value : s.wrap(value));
};

const lmsw: Semantic = (s) => {
  privileged(s);
  s.rt('lmsw', s.read(s.operands[0]!));
  s.next();
};

// --- memory as an address only -----------------------------------------------------------------------

/** Linear address of the memory operand, without the segment's checks. */
function linearAddress(s: Sem): Value {
  const address = s.effectiveAddress();
  if (s.flat) return address;
  const base = s.load('i64.load', s.add(s.cpu, s.segment()), L.SEG_BASE);
  return s.and(s.add(base, address), s.state('i64.load', L.LINEAR_MASK));
}

const invlpg: Semantic = (s) => {
  s.rt('invalidate_page', linearAddress(s));
  s.next();
};

const invpcid: Semantic = (s) => {
  const [type] = s.operands as [Operand];
  privileged(s);
  const pointer = s.pointer(16, L.ACCESS_READ);
  const pcid = s.load('i64.load', pointer);
  const address = s.load('i64.load', pointer, 8);
  s.rt('invpcid', s.zext64(s.read(type)), pcid, address);
  s.next();
};

/** CLFLUSH and its kin are checked as one-byte reads; there are no caches to flush. [SDM 2A CLFLUSH] */
const flushLine: Semantic = (s) => void s.pointer(1, L.ACCESS_READ);

const monitor: Semantic = (s) => {
  s.faultIf(s.ne(s.state('i32.load', L.CPL), s.i32(0)), UD);
  const segment = s.segment();
  const address = s.and(s.readGpr(RAX, 64), s.addressMask());
  const linear = s.linear(segment, address, 1, L.ACCESS_READ);
  s.pointerAt(linear, segment, 1, L.ACCESS_READ, false);
  s.rt('monitor', linear);
};

// --- segment bases, user access, random numbers --------------------------------------------------------

const readBase =
  (n: number): Semantic =>
  (s) => {
    const [dst] = s.operands as [Operand];
    const base = s.rt('read_base', s.i32(n));
    s.write(dst, s.size === 64 ? base : s.wrap(base));
  };

const writeBase =
  (n: number): Semantic =>
  (s) =>
    void s.rt('write_base', s.i32(n), s.zext64(s.read(s.operands[0]!)));

const random =
  (name: 'rdrand' | 'rdseed'): Semantic =>
  (s) => {
    const value = s.rt(name);
    s.write(s.operands[0]!, s.size === 64 ? value : s.wrap(value));
  };

/** CLAC, STAC. */
const accessFlag =
  (set: boolean): Semantic =>
  (s) => {
    s.faultIf(s.state('i32.load', L.CPL), UD);
    s.rt('write_flags', s.i64(set ? 0x4_0000 : 0), s.i64(0x4_0000));
  };

const fastReturn =
  (name: 'sysret' | 'sysexit'): Semantic =>
  (s) => {
    s.rt(name, s.i32(s.size === 64 ? 1 : 0));
    s.leave(true);
  };

const fastCall =
  (name: 'syscall' | 'sysenter'): Semantic =>
  (s) => {
    s.rt(name);
    s.leave(true);
  };

const privilegedNothing: Semantic = (s) => privileged(s);

const undefinedOpcode: Semantic = (s) => s.fault(UD);

export const system: Family = (def) => {
  const io = { native: 'needs port permission' } as const;
  const out = { ...io, ends: true } as const;
  const sizes = [16, 32] as const;
  def('E4', 'in', 'AL Ib', inPort, io);
  def('E5', 'in', 'eAX Ib', inPort, { ...io, sizes });
  def('EC', 'in', 'AL DX', inPort, io);
  def('ED', 'in', 'eAX DX', inPort, { ...io, sizes });
  def('E6', 'out', 'Ib AL', outPort, out);
  def('E7', 'out', 'Ib eAX', outPort, { ...out, sizes });
  def('EE', 'out', 'DX AL', outPort, out);
  def('EF', 'out', 'DX eAX', outPort, { ...out, sizes });

  const ring0 = { native: 'privileged' } as const;
  const ring0Ends = { ...ring0, ends: true } as const;
  const wide = { size64: 'always' } as const;
  def('0F 20 /r', 'mov', 'Ry Cy', movFrom('read_cr'), { ...ring0, ...wide });
  def('0F 21 /r', 'mov', 'Ry Dy', movFrom('read_dr'), { ...ring0, ...wide });
  def('0F 22 /r', 'mov', 'Cy Ry', movTo('write_cr'), { ...ring0Ends, ...wide });
  def('0F 23 /r', 'mov', 'Dy Ry', movTo('write_dr'), { ...ring0Ends, ...wide });
  def('0F 06', 'clts', '', callEnding('clts'), ring0Ends);
  def('0F 01 /4', 'smsw', 'Ev', smsw, { native: 'UMIP' });
  def('0F 01 /6', 'lmsw', 'Ew', lmsw, ring0Ends);
  def('NP 0F 01 D0', 'xgetbv', '', call('xgetbv'), {
    native: 'the host has AVX',
    feature: 'XSAVE',
  });
  def('NP 0F 01 D1', 'xsetbv', '', callEnding('xsetbv'), { ...ring0Ends, feature: 'XSAVE' });

  def('0F 01 /7', 'invlpg', 'M', invlpg, ring0Ends);
  def('66 0F 38 82 /r', 'invpcid', 'Gy M', invpcid, {
    ...ring0Ends,
    ...wide,
    memBytes: 16,
    feature: 'INVPCID',
  });
  def('0F 08', 'invd', '', privilegedNothing, ring0);
  def('0F 09', 'wbinvd', '', privilegedNothing, ring0);
  def('F3 0F 09', 'wbnoinvd', '', privilegedNothing, { ...ring0, feature: 'WBNOINVD' });
  def('NP 0F AE /7', 'clflush', 'Mb', flushLine, { feature: 'CLFSH' });
  def('66 0F AE /7', 'clflushopt', 'Mb', flushLine, { feature: 'CLFLUSHOPT' });
  def('66 0F AE /6', 'clwb', 'Mb', flushLine, { feature: 'CLWB' });
  // Loads and stores of generated code are never reordered, and locked ones are fences themselves.
  def('NP 0F AE E8+i', 'lfence', '', nothing, { feature: 'SSE2' });
  def('NP 0F AE F0+i', 'mfence', '', nothing, { feature: 'SSE2' });
  def('NP 0F AE F8+i', 'sfence', '', nothing, { feature: 'SSE' });

  def('0F 30', 'wrmsr', '', callEnding('wrmsr'), ring0Ends);
  def('0F 32', 'rdmsr', '', call('rdmsr'), ring0);
  def('0F 31', 'rdtsc', '', call('rdtsc'), { native: 'time' });
  def('0F 01 F9', 'rdtscp', '', call('rdtscp'), { native: 'time', feature: 'RDTSCP' });
  def('0F 33', 'rdpmc', '', call('rdpmc'), ring0);
  def('0F A2', 'cpuid', '', call('cpuid'), { native: 'another processor' });

  const to = { ends: true, native: 'a system call' } as const;
  def('0F 05', 'syscall', '', fastCall('syscall'), to);
  def('0F 07', 'sysret', '', fastReturn('sysret'), { ...ring0Ends, sizes: [32, 64] });
  def('0F 34', 'sysenter', '', fastCall('sysenter'), to);
  def('0F 35', 'sysexit', '', fastReturn('sysexit'), { ...ring0Ends, sizes: [32, 64] });
  def('0F 01 F8', 'swapgs', '', call('swapgs'), { ...ring0, mode: 'long' });
  const base = { mode: 'long', feature: 'FSGSBASE' } as const;
  def('F3 0F AE /0', 'rdfsbase', 'Ry', readBase(L.FS), base);
  def('F3 0F AE /1', 'rdgsbase', 'Ry', readBase(L.GS), base);
  def('F3 0F AE /2', 'wrfsbase', 'Ry', writeBase(L.FS), base);
  def('F3 0F AE /3', 'wrgsbase', 'Ry', writeBase(L.GS), base);
  // AC takes part in paging from the next access on.
  def('NP 0F 01 CA', 'clac', '', accessFlag(false), { ...ring0, feature: 'SMAP' });
  def('NP 0F 01 CB', 'stac', '', accessFlag(true), { ...ring0, feature: 'SMAP' });

  def('F4', 'hlt', '', callEnding('hlt'), ring0Ends);
  def('NP 0F 01 C8', 'monitor', '', monitor, { ...ring0, feature: 'MONITOR' });
  def('NP 0F 01 C9', 'mwait', '', callEnding('mwait'), { ...ring0Ends, feature: 'MONITOR' });
  const randomBits = { writes: 'OSZAPC', native: 'random' } as const;
  def('0F C7 /6', 'rdrand', 'Rv', random('rdrand'), { ...randomBits, feature: 'RDRAND' });
  def('0F C7 /7', 'rdseed', 'Rv', random('rdseed'), { ...randomBits, feature: 'RDSEED' });
  const rdpid: Semantic = (s) => {
    const id = s.state('i64.load', L.MSR_TSC_AUX);
    s.write(s.operands[0]!, s.size === 64 ? id : s.wrap(id));
  };
  def('F3 0F C7 /7', 'rdpid', 'Ry', rdpid, {
    ...wide,
    native: 'another processor',
    feature: 'RDPID',
  });

  ['nta', 't0', 't1', 't2'].forEach((hint, n) => {
    def(`0F 18 /${n}`, `prefetch${hint}`, 'Mb', nothing, { feature: 'SSE' });
  });
  def('0F 0D /r', 'prefetchw', 'Ed', nothing, { feature: 'PREFETCHW' });
  // Hints that this processor does not know, ENDBR and CLDEMOTE among them, are no-operations.
  for (let opcode = 0x18; opcode <= 0x1f; opcode++) {
    def(`0F ${opcode.toString(16).toUpperCase()} /r`, 'nop', 'Ed', nothing);
  }
  const invalid = { ends: true } as const;
  def('0F 0B', 'ud2', '', undefinedOpcode, invalid);
  def('0F B9 /r', 'ud1', 'Gv Ev', undefinedOpcode, invalid);
  def('0F FF /r', 'ud0', 'Gv Ev', undefinedOpcode, invalid);
  // Outside system-management mode, which does not exist here. [SDM 3C 31.3]
  def('0F AA', 'rsm', '', undefinedOpcode, invalid);
};
