/** MMX: packed integers and moves on the x87 registers' significands. [SDM 1 chapter 9, SDM 2] */
import type { Value } from '../emit/function-builder.js';
import type { Operand, Sem } from './sem.js';
import type { Define, Family, Semantic } from './table.js';
import { type PackedEntry, packed, packedHalf, shiftsByImmediate } from './vector-integer.js';
import { align, control, join, lowHalf, permute, shift } from './vector-lanes.js';
import {
  extract,
  insert,
  maskedStore,
  move,
  moveMask,
  sseCheck,
  toInteger,
} from './vector-move.js';
import { waitForX87 } from './x87.js';

const LOAD = 'v128.load64_zero';

/** dst, src -> dst on MMX operands. */
const binary =
  (compute: (s: Sem, a: Value, b: Value) => Value, load = LOAD): Semantic =>
  (s) => {
    const [dst, src] = s.operands as [Operand, Operand];
    const b = s.vread(src, load);
    s.vwrite(dst, 'i64.store', compute(s, s.vread(dst, LOAD), b));
  };

function packedSemantic({ compute, mmx, pattern }: PackedEntry): Semantic {
  if (mmx === 'joined') {
    return binary((s, a, b) => {
      const both = join(s, a, b);
      return lowHalf(s, compute(s, both, both));
    });
  }
  // PUNPCKL reads 32 bits of memory only. [SDM 2B PUNPCKLBW]
  const load = /0F 6[0-2]/.test(pattern) ? 'v128.load32_zero' : LOAD;
  return binary((s, a, b) => lowHalf(s, compute(s, a, b)), load);
}

/** PUNPCKH: of whole operands in the places of upper halves, the upper half of the result. */
function upperSemantic({ compute }: PackedEntry): Semantic {
  return binary((s, a, b) => {
    const interleaved = compute(s, join(s, a, a), join(s, b, b));
    return s.lane('i64x2.extract_lane', 1, interleaved);
  });
}

/** MOVD and MOVQ from a general register or memory. */
const fromInteger: Semantic = (s) => {
  const [dst, src] = s.operands as [Operand, Operand];
  s.vwrite(dst, 'i64.store', s.zext64(s.read(src)));
};
const movq2dq: Semantic = (s) => {
  sseCheck(s);
  move(LOAD, 'v128.store')(s);
};
const movdq2q: Semantic = (s) => {
  sseCheck(s);
  move('i64.load', 'i64.store')(s);
};

const byImmediate =
  (kind: string, bits: number): Semantic =>
  (s) => {
    const [dst] = s.operands as [Operand];
    const result = shift(s, kind, bits, s.vread(dst, LOAD), control(s));
    s.vwrite(dst, 'i64.store', lowHalf(s, result));
  };

const pshufw: Semantic = (s) => {
  const [dst, src] = s.operands as [Operand, Operand];
  s.vwrite(dst, 'i64.store', lowHalf(s, permute(s, s.vread(src, LOAD), 2, 0)));
};

/** On Intel's processors a store that faults has set TOP already; MASKMOVQ also the tags. */
const stores =
  (semantic: Semantic, tags = false): Semantic =>
  (s) => {
    if (tags) s.enterMmx();
    else s.clearTop();
    semantic(s);
  };

export const mmx: Family = (define) => {
  const def = (
    pattern: string,
    name: string,
    operands: string,
    semantic: Semantic,
    options: Parameters<Define>[4] = { feature: 'MMX' },
  ): void => {
    const waiting: Semantic = (s) => {
      waitForX87(s);
      semantic(s);
    };
    define(pattern, name, operands, waiting, { unit: 'mmx', ...options });
  };
  for (const entry of [...packed, packedHalf]) {
    if (entry.mmx === 'none') continue;
    const semantic = entry.mmx === 'upper' ? upperSemantic(entry) : packedSemantic(entry);
    const operands = entry.name.startsWith('punpckl') ? 'Pq Qd' : 'Pq Qq';
    def(`NP ${entry.pattern}`, entry.name, operands, semantic, { feature: entry.mmxFeature });
  }
  for (const [opcode, name, kind, bits] of shiftsByImmediate) {
    def(`NP 0F ${opcode}`, name, 'Nq Ib', byImmediate(kind, bits));
  }
  const sse = { feature: 'SSE' };
  const sse2 = { feature: 'SSE2' };
  def('NP 0F 70 /r', 'pshufw', 'Pq Qq Ib', pshufw, sse);
  const palignr = binary((s, a, b) => lowHalf(s, align(s, a, b, 8)));
  def('NP 0F 3A 0F /r', 'palignr', 'Pq Qq Ib', palignr, { feature: 'SSSE3' });
  def('NP 0F 6E /r', 'movd', 'Pq Ed', fromInteger, { feature: 'MMX', w: 0 });
  def('NP 0F 7E /r', 'movd', 'Ed Pq', stores(toInteger), { feature: 'MMX', w: 0 });
  const long = { feature: 'MMX', w: 1, mode: 'long', sizes: [64] } as const;
  def('NP 0F 6E /r', 'movq', 'Pq Eq', fromInteger, long);
  def('NP 0F 7E /r', 'movq', 'Eq Pq', stores(toInteger), long);
  def('NP 0F 6F /r', 'movq', 'Pq Qq', move('i64.load', 'i64.store'));
  def('NP 0F 7F /r', 'movq', 'Qq Pq', stores(move('i64.load', 'i64.store')));
  def('NP 0F E7 /r', 'movntq', 'Mq Pq', stores(move('i64.load', 'i64.store')), sse);
  def('F3 0F D6 /r', 'movq2dq', 'Vx Nq', movq2dq, sse2);
  def('F2 0F D6 /r', 'movdq2q', 'Pq Ux', movdq2q, sse2);
  def('NP 0F D7 /r', 'pmovmskb', 'Gd Nq', moveMask('i8x16', LOAD), sse);
  def('NP 0F C5 /r', 'pextrw', 'Gd Nq Ib', extract(2, 3), sse);
  def('NP 0F C4 /r', 'pinsrw', 'Pq Rd Ib', insert(2, 3), sse);
  def('NP 0F C4 /r', 'pinsrw', 'Pq Mw Ib', insert(2, 3), sse);
  def('NP 0F F7 /r', 'maskmovq', 'Pq Nq', stores(maskedStore(8), true), sse);
};
