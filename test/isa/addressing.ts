/** Forms of addressing: ModRM, SIB and displacement, and register values that fit them. */
import type { Entry } from '#src/cpu/isa/table.js';
import { DATA, type Mode } from './case-format.js';
import type { Address, Draft } from './encode.js';
import { integer } from './operand-values.js';
import type { Random } from './random.js';

export interface MemoryForm {
  readonly modrm: number;
  readonly rex: number;
  readonly tail: number[];
  readonly ripRelative: boolean;
}

/** Registers whose value matters to the instruction itself. */
function taken(entry: Entry | null, index: number): Set<number> {
  const found = new Set<number>();
  if (!entry) return found;
  const { mnemonic, family } = entry;
  if (mnemonic.startsWith('cmpxchg')) for (const r of [0, 1, 2, 3]) found.add(r);
  if (family === 'multiply') for (const r of [0, 2]) found.add(r);
  if (family === 'bits' && mnemonic.startsWith('bt')) found.add(index);
  if (family === 'shifts') found.add(1);
  return found;
}

/** A register's value whose low bits count, with anything above them. */
function garbageAbove(random: Random, mode: Mode, bits: 16 | 32 | 64, value: bigint): bigint {
  const low = BigInt.asUintN(bits, value);
  if (bits === (mode === 0 ? 64 : 32) || random.chance(3)) return low;
  return low | ((random.u64() >> BigInt(bits)) << BigInt(bits));
}

/** `index`: the number of ModRM.reg's register; no entry: an instruction of any kind. */
export function memoryForm(
  entry: Entry | null,
  draft: Draft,
  address: Address,
  rex: number,
  index: number,
): MemoryForm {
  const fixed = taken(entry, index);
  return address.bits === 16
    ? form16(draft, address, rex, fixed)
    : form32(draft, address, rex, fixed);
}

function form16(draft: Draft, address: Address, rex: number, fixed: Set<number>): MemoryForm {
  const { random, mode, gpr } = draft;
  const rm = random.below(8);
  const mod = random.below(3);
  const base = [3, 3, 5, 5, 6, 7, 5, 3][rm]!;
  const offset = Number(address.offset);
  if ((mod === 0 && rm === 6) || fixed.has(base)) {
    const tail = [offset & 0xff, offset >> 8];
    return { modrm: 6, rex, tail, ripRelative: false };
  }
  const displacement = mod === 0 ? 0 : mod === 1 ? random.below(256) - 128 : random.below(0x10000);
  const tail = mod === 0 ? [] : [displacement & 0xff];
  if (mod === 2) tail.push(displacement >> 8);
  let rest = offset - displacement;
  if (rm < 4) rest -= Number(gpr[6 + (rm & 1)]! & 0xffffn);
  gpr[base] = garbageAbove(random, mode, 16, BigInt(rest));
  return { modrm: (mod << 6) | rm, rex, tail, ripRelative: false };
}

function form32(draft: Draft, address: Address, rex: number, fixed: Set<number>): MemoryForm {
  const { random, mode, gpr } = draft;
  const tail: number[] = [];
  const push32 = (v: number): void => {
    for (let i = 0; i < 4; i++) tail.push((v >> (i * 8)) & 0xff);
  };
  const set = (register: number, value: bigint): void => {
    gpr[register] = garbageAbove(random, mode, address.bits, value);
  };
  const value = (register: number): bigint => BigInt.asUintN(address.bits, gpr[register]!);
  const mod = random.below(3);
  const sib = random.chance(2);
  const baseExt = (rex & 1) << 3;
  let base = random.below(8);
  for (let tries = 0; tries < 4 && fixed.has(base | baseExt); tries++) base = random.below(8);
  const absolute = (mod === 0 && base === 5) || fixed.has(base | baseExt);
  const pick = [
    random.below(0x1000),
    -random.below(0x1000),
    0x1000_0000,
    -0x7fff_0000,
    0x7fff_ffff,
  ];
  const displacement = mod === 0 ? 0 : mod === 1 ? random.below(256) - 128 : random.pick(pick);
  const low32 = (v: bigint): number => Number(BigInt.asIntN(32, v));
  if (!sib && absolute) {
    // Relative to RIP in 64-bit code: the caller knows where the instruction ends.
    push32(low32(address.offset));
    return { modrm: 5, rex, tail, ripRelative: mode === 0 };
  }
  if (!sib && base !== 4) {
    set(base | baseExt, address.offset - BigInt(displacement));
    if (mod === 1) tail.push(displacement & 0xff);
    else if (mod === 2) push32(displacement);
    return { modrm: (mod << 6) | base, rex, tail, ripRelative: false };
  }
  let index = random.below(8);
  let number = index | ((rex & 2) << 2);
  if (!absolute && number === (base | baseExt)) {
    index = (index + 1) & 7;
    number = index | ((rex & 2) << 2);
  }
  const scale = random.below(4);
  let scaled = 0n;
  if (number !== 4) {
    const small = absolute || random.chance(2);
    if (!fixed.has(number)) set(number, small ? BigInt(random.below(64)) : integer(random));
    scaled = value(number) << BigInt(scale);
  }
  if (absolute) {
    tail.push((scale << 6) | (index << 3) | 5);
    push32(low32(address.offset - scaled));
    return { modrm: 4, rex, tail, ripRelative: false };
  }
  set(base | baseExt, address.offset - scaled - BigInt(displacement));
  tail.push((scale << 6) | (index << 3) | base);
  if (mod === 1) tail.push(displacement & 0xff);
  else if (mod === 2) push32(displacement);
  return { modrm: (mod << 6) | 4, rex, tail, ripRelative: false };
}

/** Registers that instructions address by without naming them. */
export function addressRegisters(entry: Entry, draft: Draft, address: Address): void {
  const { random, mode, gpr, target } = draft;
  const set = (register: number, value: bigint): void => {
    gpr[register] = garbageAbove(random, mode, address.bits, value);
  };
  if (entry.mnemonic === 'xlat') {
    set(3, address.offset - (random.chance(2) ? gpr[0]! & 0xffn : 0n));
    return;
  }
  if (entry.mnemonic.startsWith('maskmov')) {
    set(7, address.offset);
    return;
  }
  const segment = mode === 2 ? BigInt(DATA) : 0n;
  set(6, address.offset);
  // The destination near the source or at it; ES knows no override.
  const destination = random.chance(4)
    ? target
    : (target & ~0xffn) + BigInt(64 + random.below(128));
  set(7, destination - segment);
  set(1, BigInt(random.below(9)));
  if (random.chance(2)) gpr[0] = BigInt(random.below(3));
}
