/** AES, carry-less multiplication, SHA, CRC32 and the string compares of SSE4.2. [SDM 2A, 2B] */
import type { Value } from '../emit/function-builder.js';
import * as L from '../state/layout.js';
import type { Operand, Sem } from './sem.js';
import type { Family, Semantic } from './table.js';

function control(s: Sem): Value {
  return s.andC(s.wrap(s.immediate()), 0xff);
}

/** A runtime function on the places of both operands, with an immediate if there is one. */
const onPlaces =
  (name: string): Semantic =>
  (s) => {
    const [dst, src, imm] = s.operands as [Operand, Operand, Operand?];
    const from = s.vaddress(src, 16);
    const args = [s.vaddress(dst, 16), from];
    if (imm) args.push(control(s));
    s.pure(name, ...args);
  };

/** SHA256RNDS2 has XMM0 as a third operand. */
const sha256rnds2: Semantic = (s) => {
  const [dst, src] = s.operands as [Operand, Operand];
  const from = s.vaddress(src, 16);
  s.pure('sha256rnds2', s.vaddress(dst, 16), from, s.addC(s.cpu, L.XMM));
};

/** `wide`: REX.W makes the explicit lengths 64 bits. */
const stringCompare =
  (name: string): Semantic =>
  (s) => {
    const [a, b] = s.operands as [Operand, Operand];
    const from = s.vaddress(b, 16);
    const args = [control(s), s.vaddress(a, 16), from];
    if (name.startsWith('pcmpestr')) args.push(s.i32(s.size === 64 ? 1 : 0));
    // Reads and writes registers and flags in the state.
    s.rt(name, ...args);
  };

const crc32: Semantic = (s) => {
  const [dst, src] = s.operands as [Operand, Operand];
  const bits = s.bitsOf(src);
  const data = s.resize(s.read(src), bits, 64);
  const sum = s.pure('crc32', s.wrap(s.read(dst)), data, s.i32(bits / 8));
  s.write(dst, s.bitsOf(dst) === 64 ? s.zext64(sum) : sum);
};

export const crypto: Family = (def) => {
  const aes = { unit: 'sse', feature: 'AES' } as const;
  def('66 0F 38 DB /r', 'aesimc', 'Vx Wx', onPlaces('aesimc'), aes);
  def('66 0F 38 DC /r', 'aesenc', 'Vx Wx', onPlaces('aesenc'), aes);
  def('66 0F 38 DD /r', 'aesenclast', 'Vx Wx', onPlaces('aesenclast'), aes);
  def('66 0F 38 DE /r', 'aesdec', 'Vx Wx', onPlaces('aesdec'), aes);
  def('66 0F 38 DF /r', 'aesdeclast', 'Vx Wx', onPlaces('aesdeclast'), aes);
  def('66 0F 3A DF /r', 'aeskeygenassist', 'Vx Wx Ib', onPlaces('aeskeygenassist'), aes);
  const clmul = { unit: 'sse', feature: 'PCLMULQDQ' } as const;
  def('66 0F 3A 44 /r', 'pclmulqdq', 'Vx Wx Ib', onPlaces('pclmulqdq'), clmul);
  const sha = { unit: 'sse', feature: 'SHA' } as const;
  def('NP 0F 38 C8 /r', 'sha1nexte', 'Vx Wx', onPlaces('sha1nexte'), sha);
  def('NP 0F 38 C9 /r', 'sha1msg1', 'Vx Wx', onPlaces('sha1msg1'), sha);
  def('NP 0F 38 CA /r', 'sha1msg2', 'Vx Wx', onPlaces('sha1msg2'), sha);
  def('NP 0F 38 CB /r', 'sha256rnds2', 'Vx Wx', sha256rnds2, sha);
  def('NP 0F 38 CC /r', 'sha256msg1', 'Vx Wx', onPlaces('sha256msg1'), sha);
  def('NP 0F 38 CD /r', 'sha256msg2', 'Vx Wx', onPlaces('sha256msg2'), sha);
  def('NP 0F 3A CC /r', 'sha1rnds4', 'Vx Wx Ib', onPlaces('sha1rnds4'), sha);

  const compare = {
    unit: 'sse',
    unaligned: true,
    feature: 'SSE4.2',
    writes: 'OSZAPC',
    sizes: [32, 64],
  } as const;
  def('66 0F 3A 60 /r', 'pcmpestrm', 'Vx Wx Ib', stringCompare('pcmpestrm'), compare);
  def('66 0F 3A 61 /r', 'pcmpestri', 'Vx Wx Ib', stringCompare('pcmpestri'), compare);
  def('66 0F 3A 62 /r', 'pcmpistrm', 'Vx Wx Ib', stringCompare('pcmpistrm'), compare);
  def('66 0F 3A 63 /r', 'pcmpistri', 'Vx Wx Ib', stringCompare('pcmpistri'), compare);

  const crc = { feature: 'SSE4.2' } as const;
  def('F2 0F 38 F0 /r', 'crc32', 'Gy Eb', crc32, crc);
  def('F2 0F 38 F1 /r', 'crc32', 'Gy Ev', crc32, { ...crc, sizes: [16, 32, 64] });
};
