/**
 * Carry-less multiplication and the SHA extensions. Operands are 16 bytes in memory; word n of the
 * manual's pictures (bits 32n+31..32n) lies at +4n. All inputs are read before `dst` is written.
 */

/** Low half of a carry-less product, by integer products whose carries fall into holes. */
function clmul_low(x: u64, y: u64): u64 {
  const x0 = x & 0x1111111111111111;
  const x1 = x & 0x2222222222222222;
  const x2 = x & 0x4444444444444444;
  const x3 = x & 0x8888888888888888;
  const y0 = y & 0x1111111111111111;
  const y1 = y & 0x2222222222222222;
  const y2 = y & 0x4444444444444444;
  const y3 = y & 0x8888888888888888;
  return (
    (((x0 * y0) ^ (x1 * y3) ^ (x2 * y2) ^ (x3 * y1)) & 0x1111111111111111) |
    (((x0 * y1) ^ (x1 * y0) ^ (x2 * y3) ^ (x3 * y2)) & 0x2222222222222222) |
    (((x0 * y2) ^ (x1 * y1) ^ (x2 * y0) ^ (x3 * y3)) & 0x4444444444444444) |
    (((x0 * y3) ^ (x1 * y2) ^ (x2 * y1) ^ (x3 * y0)) & 0x8888888888888888)
  );
}

function reverse_bits(v: u64): u64 {
  v = ((v >> 1) & 0x5555555555555555) | ((v & 0x5555555555555555) << 1);
  v = ((v >> 2) & 0x3333333333333333) | ((v & 0x3333333333333333) << 2);
  v = ((v >> 4) & 0x0f0f0f0f0f0f0f0f) | ((v & 0x0f0f0f0f0f0f0f0f) << 4);
  return bswap<u64>(v);
}

/** PCLMULQDQ: `imm` bit 0 picks the half of `dst`, bit 4 that of `src`. */
export function pclmulqdq(dst: i32, src: i32, imm: i32): void {
  const x = load<u64>(dst + ((imm & 1) << 3));
  const y = load<u64>(src + ((imm & 16) >> 1));
  store<u64>(dst, clmul_low(x, y));
  store<u64>(dst, reverse_bits(clmul_low(reverse_bits(x), reverse_bits(y))) >> 1, 8);
}

// @ts-ignore: decorator
@inline
function choose(x: u32, y: u32, z: u32): u32 {
  return (x & y) ^ (~x & z);
}

// @ts-ignore: decorator
@inline
function majority(x: u32, y: u32, z: u32): u32 {
  return (x & y) ^ (x & z) ^ (y & z);
}

/** Four rounds of SHA-1 with the function and constant that `imm` names [SDM 2B SHA1RNDS4]. */
export function sha1rnds4(dst: i32, src: i32, imm: i32): void {
  const kind = imm & 3;
  const k: u32 =
    kind == 0 ? 0x5a827999 : kind == 1 ? 0x6ed9eba1 : kind == 2 ? 0x8f1bbcdc : 0xca62c1d6;
  let a = load<u32>(dst, 12);
  let b = load<u32>(dst, 8);
  let c = load<u32>(dst, 4);
  let d = load<u32>(dst);
  let e: u32 = 0;
  for (let i = 12; i >= 0; i -= 4) {
    const f = kind == 0 ? choose(b, c, d) : kind == 2 ? majority(b, c, d) : b ^ c ^ d;
    const next = f + rotl<u32>(a, 5) + load<u32>(src + i) + e + k;
    e = d;
    d = c;
    c = rotl<u32>(b, 30);
    b = a;
    a = next;
  }
  store<u32>(dst, a, 12);
  store<u32>(dst, b, 8);
  store<u32>(dst, c, 4);
  store<u32>(dst, d);
}

export function sha1nexte(dst: i32, src: i32): void {
  const e = rotl<u32>(load<u32>(dst, 12), 30);
  const w = load<u32>(src, 12);
  store<u64>(dst, load<u64>(src));
  store<u32>(dst, load<u32>(src, 8), 8);
  store<u32>(dst, w + e, 12);
}

export function sha1msg1(dst: i32, src: i32): void {
  const low = load<u64>(dst);
  const high = load<u64>(dst, 8);
  const w54 = load<u64>(src, 8);
  store<u64>(dst, high ^ low, 8);
  store<u64>(dst, low ^ w54);
}

export function sha1msg2(dst: i32, src: i32): void {
  const w13 = load<u32>(src, 8);
  const w14 = load<u32>(src, 4);
  const w15 = load<u32>(src);
  const w16 = rotl<u32>(load<u32>(dst, 12) ^ w13, 1);
  store<u32>(dst, rotl<u32>(load<u32>(dst, 8) ^ w14, 1), 8);
  store<u32>(dst, rotl<u32>(load<u32>(dst, 4) ^ w15, 1), 4);
  store<u32>(dst, rotl<u32>(load<u32>(dst) ^ w16, 1));
  store<u32>(dst, w16, 12);
}

/** Two rounds of SHA-256; `words` is XMM0 with W+K of both rounds in its low half. */
export function sha256rnds2(dst: i32, src: i32, words: i32): void {
  let a = load<u32>(src, 12);
  let b = load<u32>(src, 8);
  let e = load<u32>(src, 4);
  let f = load<u32>(src);
  let c = load<u32>(dst, 12);
  let d = load<u32>(dst, 8);
  let g = load<u32>(dst, 4);
  let h = load<u32>(dst);
  const wk = load<u64>(words);
  for (let i = 0; i < 2; i++) {
    const sum1 = rotr<u32>(e, 6) ^ rotr<u32>(e, 11) ^ rotr<u32>(e, 25);
    const sum0 = rotr<u32>(a, 2) ^ rotr<u32>(a, 13) ^ rotr<u32>(a, 22);
    const t = choose(e, f, g) + sum1 + u32(i == 0 ? wk : wk >> 32) + h;
    h = g;
    g = f;
    f = e;
    e = d + t;
    d = c;
    const next = t + majority(a, b, c) + sum0;
    c = b;
    b = a;
    a = next;
  }
  store<u32>(dst, a, 12);
  store<u32>(dst, b, 8);
  store<u32>(dst, e, 4);
  store<u32>(dst, f);
}

export function sha256msg1(dst: i32, src: i32): void {
  let w = load<u32>(src);
  for (let i = 12; i >= 0; i -= 4) {
    const own = load<u32>(dst + i);
    store<u32>(dst + i, own + (rotr<u32>(w, 7) ^ rotr<u32>(w, 18) ^ (w >> 3)));
    w = own;
  }
}

// @ts-ignore: decorator
@inline
function sigma1(w: u32): u32 {
  return rotr<u32>(w, 17) ^ rotr<u32>(w, 19) ^ (w >> 10);
}

export function sha256msg2(dst: i32, src: i32): void {
  const w14 = load<u32>(src, 8);
  const w15 = load<u32>(src, 12);
  const w16 = load<u32>(dst) + sigma1(w14);
  const w17 = load<u32>(dst, 4) + sigma1(w15);
  store<u32>(dst, w16);
  store<u32>(dst, w17, 4);
  store<u32>(dst, load<u32>(dst, 8) + sigma1(w16), 8);
  store<u32>(dst, load<u32>(dst, 12) + sigma1(w17), 12);
}
