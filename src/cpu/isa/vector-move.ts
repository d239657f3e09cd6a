/** Moves between vector registers and single elements, bit masks and masked bytes: SSE and MMX. */
import type { Value } from '../emit/function-builder.js';
import * as L from '../state/layout.js';
import { type Operand, RDI, type Sem } from './sem.js';
import type { Semantic } from './table.js';
import { control } from './vector-lanes.js';

/** A whole operand moved by a load and a store that fit each other. */
export const move =
  (load: string, store: string): Semantic =>
  (s) => {
    const [dst, src] = s.operands as [Operand, Operand];
    s.vwrite(dst, store, s.vread(src, load));
  };

/** MOVD and MOVQ to a general register or memory. */
export const toInteger: Semantic = (s) => {
  const [dst, src] = s.operands as [Operand, Operand];
  s.write(dst, s.vread(src, s.bitsOf(dst) === 64 ? 'i64.load' : 'i32.load'));
};

/** For MMX instructions that touch an XMM register too. */
export function sseCheck(s: Sem): void {
  const trap = s.state('i32.load', L.SSE_TRAP);
  s.if(trap, () => s.fault(trap));
}

/** Sign bits of all elements to a general register. */
export const moveMask =
  (shape: string, load: string): Semantic =>
  (s) => {
    const [dst, src] = s.operands as [Operand, Operand];
    s.write(dst, s.op(`${shape}.bitmask`, s.vread(src, load)));
  };

/** Where element imm8 of a register is; `last` is the greatest element number. */
function element(s: Sem, register: Operand, bytes: number, last: number): Value {
  const offset = s.shlC(s.andC(control(s), last), Math.log2(bytes));
  return s.add(s.vaddress(register, 16), offset);
}

const name = (what: 'load' | 'store', bytes: number): string => {
  if (bytes === 8) return `i64.${what}`;
  if (bytes === 4) return `i32.${what}`;
  return `i32.${what}${bytes * 8}${what === 'load' ? '_u' : ''}`;
};

/** PEXTR and EXTRACTPS: element imm8 of `bytes` bytes. */
export const extract =
  (bytes: number, last: number): Semantic =>
  (s) => {
    const [dst, src] = s.operands as [Operand, Operand];
    s.write(dst, s.load(name('load', bytes), element(s, src, bytes, last)));
  };

/** PINSR: into element imm8. */
export const insert =
  (bytes: number, last: number): Semantic =>
  (s) => {
    const [dst, src] = s.operands as [Operand, Operand];
    const value = s.read(src);
    s.effect(name('store', bytes), [element(s, dst, bytes, last), value]);
    // Through an operand's own store the exponent of an MMX register is set as well.
    if (dst.kind === 'mmx') s.vwrite(dst, 'i64.store', s.vread(dst, 'i64.load'));
  };

/** MASKMOVDQU and MASKMOVQ: bytes whose mask has the top bit set, to [rDI]. */
export const maskedStore =
  (bytes: 8 | 16): Semantic =>
  (s) => {
    const [src, mask] = s.operands as [Operand, Operand];
    const load = bytes === 8 ? 'v128.load64_zero' : 'v128.load';
    const left = s.variable('i32', s.op('i8x16.bitmask', s.vread(mask, load)));
    const segment = s.segment();
    const offset = s.and(s.readGpr(RDI, 64), s.addressMask());
    const linear = s.linear(segment, offset, bytes, L.ACCESS_WRITE);
    // Processors look at the upper half first: a fault there reports its address.
    if (bytes === 16) {
      const half = s.and(s.addC(offset, 8), s.addressMask());
      const upper = s.linear(segment, half, 8, L.ACCESS_WRITE);
      s.pointerAt(upper, segment, 8, L.ACCESS_WRITE, false);
    }
    const pointer = s.pointerAt(linear, segment, bytes, L.ACCESS_WRITE, true);
    const from = s.vaddress(src, bytes);
    s.block((out) => {
      s.loop((again) => {
        s.brIf(out, s.eqz(s.get(left)));
        const i = s.op('i32.ctz', s.get(left));
        s.effect('i32.store8', [s.add(pointer, i), s.load('i32.load8_u', s.add(from, i))]);
        s.set(left, s.and(s.get(left), s.addC(s.get(left), -1)));
        s.br(again);
      });
    });
    s.commit(pointer);
  };
