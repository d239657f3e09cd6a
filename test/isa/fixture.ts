/**
 * Committed cases with the answers of a host CPU: some of every encoding, small enough to keep. Data,
 * vector and general registers of a case come from a pool; what it holds is stored as the difference
 * from there, and the answer as the difference from the case, so that next to nothing but zeros is
 * left for gzip.
 *
 * Layout: u32 pool entries, u32 cases; the pool, each entry the tail of a case from its registers on;
 * a u32 for each case, its pool entry; all cases; all answers.
 */
import { gunzipSync, gzipSync } from 'node:zlib';
import { instructionTable } from '#src/cpu/isa/index.js';
import { ANSWER, CASE, MODES } from './case-format.js';
import { CaseMaker, type Fill, testable } from './cases.js';
import type { Host } from './host.js';
import { fpuState, integer, vector } from './operand-values.js';
import { Random } from './random.js';

const POOL = 128;
const POOL_ENTRY = CASE.size - CASE.gpr;
const HEAD = 8;

export interface Fixture {
  readonly count: number;
  readonly cases: Uint8Array;
  readonly answers: Uint8Array;
}

function makePool(random: Random): Uint8Array {
  const whole = new Uint8Array(CASE.size);
  const view = new DataView(whole.buffer);
  const pool = new Uint8Array(POOL * POOL_ENTRY);
  for (let n = 0; n < POOL; n++) {
    for (let r = 0; r < 16; r++) view.setBigUint64(CASE.gpr + r * 8, integer(random), true);
    fpuState(random, view, CASE.fx);
    for (let at = CASE.data; at < CASE.size; at += 16) vector(random, view, at);
    pool.set(whole.subarray(CASE.gpr), n * POOL_ENTRY);
  }
  return pool;
}

/** `each` cases of every encoding in every mode; `ask` is the host CPU. */
export async function makeFixture(
  host: Host,
  seed: number,
  each: number,
  ask: (cases: Uint8Array) => Promise<Uint8Array>,
): Promise<Buffer> {
  const random = new Random(seed);
  const pool = makePool(random);
  let chosen = 0;
  const fill: Fill = (_random, out, at) => {
    chosen = random.below(POOL);
    const from = chosen * POOL_ENTRY;
    const bytes = new Uint8Array(out.buffer, out.byteOffset + at, CASE.size);
    bytes.set(pool.subarray(from, from + POOL_ENTRY), CASE.gpr);
    return Array.from({ length: 16 }, (_, r) => out.getBigUint64(at + CASE.gpr + r * 8, true));
  };
  const maker = new CaseMaker(instructionTable, host, fill);
  const forms = MODES.flatMap((mode) =>
    instructionTable
      .filter((entry) => testable(entry, mode) && host.has(entry))
      .map((entry) => ({ entry, mode })),
  );
  const count = forms.length * each;
  const cases = new Uint8Array(count * CASE.size);
  const view = new DataView(cases.buffer);
  const origins = new Uint32Array(count);
  for (let i = 0; i < count; i++) {
    const { entry, mode } = forms[Math.floor(i / each)]!;
    maker.make(entry, mode, random, view, i * CASE.size);
    origins[i] = chosen;
  }
  const answers = keepCompared(await ask(cases), count);
  fromCases(cases, answers, count);
  fromPool(cases, pool, origins);
  const head = new Uint32Array([POOL, count]);
  const parts = [head, pool, origins, cases, answers];
  return gzipSync(Buffer.concat(parts.map((p) => Buffer.from(p.buffer))), { level: 9 });
}

export function readFixture(file: Uint8Array): Fixture {
  const raw = gunzipSync(file);
  const [entries, count] = [raw.readUInt32LE(0), raw.readUInt32LE(4)];
  let at = HEAD;
  const take = (length: number): Uint8Array<ArrayBuffer> => {
    at += length;
    return new Uint8Array(raw.subarray(at - length, at));
  };
  const pool = take(entries * POOL_ENTRY);
  const origins = new Uint32Array(take(count * 4).buffer);
  const cases = take(count * CASE.size);
  const answers = take(count * ANSWER.size);
  fromPool(cases, pool, origins);
  fromCases(cases, answers, count);
  return { count, cases, answers };
}

/** Cases to their difference from the pool, and back. */
function fromPool(cases: Uint8Array, pool: Uint8Array, origins: Uint32Array): void {
  for (let i = 0; i < origins.length; i++) {
    const to = i * CASE.size + CASE.gpr;
    const from = origins[i]! * POOL_ENTRY;
    for (let k = 0; k < POOL_ENTRY; k++) cases[to + k]! ^= pool[from + k]!;
  }
}

/** Answers to their difference from the cases, and back. */
function fromCases(cases: Uint8Array, answers: Uint8Array, count: number): void {
  const pairs = [
    [ANSWER.gpr, CASE.gpr, 128],
    [ANSWER.rflags, CASE.rflags, 8],
    [ANSWER.fx, CASE.fx, 416],
    [ANSWER.data, CASE.data, CASE.size - CASE.data],
  ] as const;
  for (let i = 0; i < count; i++) {
    for (const [to, from, length] of pairs) {
      const at = i * ANSWER.size + to;
      const source = i * CASE.size + from;
      for (let k = 0; k < length; k++) answers[at + k]! ^= cases[source + k]!;
    }
  }
}

/** Without what nobody compares: x87 pointers, MXCSR_MASK, the kernel's part of the image. */
function keepCompared(answers: Uint8Array, count: number): Uint8Array<ArrayBuffer> {
  const kept = new Uint8Array(answers);
  for (let i = 0; i < count; i++) {
    const fx = i * ANSWER.size + ANSWER.fx;
    kept.fill(0, fx + 5, fx + 24);
    kept.fill(0, fx + 28, fx + 32);
    for (let r = 0; r < 8; r++) kept.fill(0, fx + 42 + r * 16, fx + 48 + r * 16);
    kept.fill(0, fx + 416, fx + 512);
  }
  return kept;
}
