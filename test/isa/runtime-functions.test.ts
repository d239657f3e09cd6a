import assert from 'node:assert/strict';
import { createCipheriv, createHash, randomBytes } from 'node:crypto';
import test from 'node:test';
import fc from 'fast-check';
import * as L from '#src/cpu/state/layout.js';
import { BareRuntime } from './bare-runtime.js';

const rt = new BareRuntime();
const [A, B, C] = [L.XMM + 32, L.XMM + 64, L.XMM];
const at = (offset: number): number => L.VCPU_AREA + offset;
const u64 = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n });

function put(offset: number, bytes: Uint8Array): void {
  rt.bytes.set(bytes, at(offset));
}
function take(offset: number): Buffer {
  return Buffer.from(rt.bytes.slice(at(offset), at(offset) + 16));
}
const unsigned = (v: number | bigint | undefined): bigint => BigInt.asUintN(64, v as bigint);

test('AES: rounds and key schedule encrypt and decrypt like OpenSSL', () => {
  for (let round = 0; round < 50; round++) {
    const [key, plain] = [randomBytes(16), randomBytes(16)];
    const keys = [key];
    for (let n = 0, rcon = 1; n < 10; n++, rcon = (rcon << 1) ^ (rcon & 0x80 ? 0x11b : 0)) {
      const last = keys[n]!;
      put(B, last);
      rt.call('aeskeygenassist', at(A), at(B), rcon);
      const word = take(A).readUInt32LE(12);
      const next = Buffer.alloc(16);
      for (let i = 0, w = word; i < 16; i += 4) {
        w ^= last.readUInt32LE(i);
        next.writeUInt32LE(w >>> 0, i);
      }
      keys.push(next);
    }
    put(
      A,
      plain.map((b, i) => b ^ key[i]!),
    );
    for (let n = 1; n <= 10; n++) {
      put(B, keys[n]!);
      rt.call(n < 10 ? 'aesenc' : 'aesenclast', at(A), at(B));
    }
    const cipher = createCipheriv('aes-128-ecb', key, null).setAutoPadding(false);
    const secret = cipher.update(plain);
    assert.deepEqual(take(A), secret);

    put(
      A,
      secret.map((b, i) => b ^ keys[10]![i]!),
    );
    for (let n = 9; n >= 0; n--) {
      put(B, keys[n]!);
      if (n > 0) rt.call('aesimc', at(B), at(B));
      rt.call(n > 0 ? 'aesdec' : 'aesdeclast', at(A), at(B));
    }
    assert.deepEqual(take(A), plain);
  }
});

/** One block of padded data, as 16 big-endian words. */
function oneBlock(data: Uint8Array): number[] {
  const block = Buffer.alloc(64);
  block.set(data);
  block[data.length] = 0x80;
  block.writeUInt32BE(data.length * 8, 60);
  return Array.from({ length: 16 }, (_, i) => block.readUInt32BE(i * 4));
}
function words(...w: number[]): Buffer {
  const bytes = Buffer.alloc(16);
  w.forEach((value, i) => {
    bytes.writeUInt32LE(value >>> 0, i * 4);
  });
  return bytes;
}

test('SHA-256: message schedule and rounds make the right digest', () => {
  const primes: number[] = [];
  for (let n = 2; primes.length < 64; n++) if (primes.every((p) => n % p)) primes.push(n);
  const fraction = (x: number): number => Math.floor((x - Math.floor(x)) * 2 ** 32) >>> 0;
  const k = primes.map((p) => fraction(Math.cbrt(p)));
  const data = randomBytes(40);
  const w = oneBlock(data);
  for (let t = 16; t < 64; t += 4) {
    put(A, words(...w.slice(t - 16, t - 12)));
    put(B, words(...w.slice(t - 12, t - 8)));
    rt.call('sha256msg1', at(A), at(B));
    // The addend W[t-7..t-4] is the program's to add.
    const part = take(A);
    put(A, words(...[0, 1, 2, 3].map((i) => part.readUInt32LE(i * 4) + w[t - 7 + i]!)));
    put(B, words(...w.slice(t - 4, t)));
    rt.call('sha256msg2', at(A), at(B));
    for (let i = 0; i < 4; i++) w.push(take(A).readUInt32LE(i * 4));
  }
  const [a, b, c, d, e, f, g, h] = primes.slice(0, 8).map((p) => fraction(Math.sqrt(p)));
  put(A, words(h!, g!, d!, c!));
  put(B, words(f!, e!, b!, a!));
  let [cdgh, abef] = [A, B];
  for (let t = 0; t < 64; t += 2) {
    put(C, words(w[t]! + k[t]!, w[t + 1]! + k[t + 1]!, 0, 0));
    rt.call('sha256rnds2', at(cdgh), at(abef), at(C));
    [cdgh, abef] = [abef, cdgh];
  }
  const start = [a, b, c, d, e, f, g, h];
  const low = take(abef);
  const high = take(cdgh);
  const end = [low, low, high, high, low, low, high, high].map((from, i) =>
    from.readUInt32LE([12, 8, 12, 8, 4, 0, 4, 0][i]!),
  );
  const digest = Buffer.alloc(32);
  end.forEach((v, i) => {
    digest.writeUInt32BE((v + start[i]!) >>> 0, i * 4);
  });
  assert.equal(digest.toString('hex'), createHash('sha256').update(data).digest('hex'));
});

test('SHA-1: message schedule and rounds make the right digest', () => {
  const data = randomBytes(30);
  const w = oneBlock(data);
  // Words stand highest first.
  const four = (t: number): Buffer => words(w[t + 3]!, w[t + 2]!, w[t + 1]!, w[t]!);
  for (let t = 16; t < 80; t += 4) {
    put(A, four(t - 16));
    put(B, four(t - 12));
    rt.call('sha1msg1', at(A), at(B));
    const other = four(t - 8);
    put(
      A,
      take(A).map((byte, i) => byte ^ other[i]!),
    );
    put(B, four(t - 4));
    rt.call('sha1msg2', at(A), at(B));
    for (let i = 12; i >= 0; i -= 4) w.push(take(A).readUInt32LE(i));
  }
  const start = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0];
  let state = words(start[3]!, start[2]!, start[1]!, start[0]!);
  let before = words(0, 0, 0, 0);
  for (let t = 0; t < 80; t += 4) {
    put(B, four(t));
    if (t === 0) put(B, words(w[3]!, w[2]!, w[1]!, w[0]! + start[4]!));
    else {
      put(C, before);
      rt.call('sha1nexte', at(C), at(B));
      put(B, take(C));
    }
    put(A, state);
    before = state;
    rt.call('sha1rnds4', at(A), at(B), Math.floor(t / 20));
    state = take(A);
  }
  put(C, before);
  put(B, words(0, 0, 0, 0));
  rt.call('sha1nexte', at(C), at(B));
  const end = [12, 8, 4, 0].map((i) => state.readUInt32LE(i));
  end.push(take(C).readUInt32LE(12));
  const digest = Buffer.alloc(20);
  end.forEach((v, i) => {
    digest.writeUInt32BE((v + start[i]!) >>> 0, i * 4);
  });
  assert.equal(digest.toString('hex'), createHash('sha1').update(data).digest('hex'));
});

test('PCLMULQDQ: the product of polynomials', () => {
  fc.assert(
    fc.property(u64, u64, fc.constantFrom(0, 1, 16, 17), (x, y, imm) => {
      rt.set64(A + (imm & 1) * 8, x);
      rt.set64(B + (imm >> 4) * 8, y);
      rt.call('pclmulqdq', at(A), at(B), imm);
      let product = 0n;
      for (let n = 0n; n < 64n; n++) if ((y >> n) & 1n) product ^= x << n;
      assert.equal(rt.get64(A) | (rt.get64(A + 8) << 64n), product);
    }),
  );
});

test('CRC32: the check value of CRC-32C', () => {
  let crc = 0xffff_ffff;
  for (const byte of Buffer.from('12345678')) crc = Number(rt.call('crc32', crc, BigInt(byte), 1));
  const whole = rt.call('crc32', 0xffff_ffff, Buffer.from('12345678').readBigUInt64LE(), 8);
  assert.equal(crc, whole);
  crc = Number(rt.call('crc32', crc, 0x39n, 1));
  assert.equal(~crc >>> 0, 0xe306_9283);
});

test('PDEP and PEXT move bits under a mask', () => {
  fc.assert(
    fc.property(u64, u64, (value, mask) => {
      let [deposit, extract, n] = [0n, 0n, 0n];
      for (let bit = 0n; bit < 64n; bit++) {
        if (!((mask >> bit) & 1n)) continue;
        deposit |= ((value >> n) & 1n) << bit;
        extract |= ((value >> bit) & 1n) << n++;
      }
      assert.equal(unsigned(rt.call('pdep', value, mask)), deposit);
      assert.equal(unsigned(rt.call('pext', value, mask)), extract);
    }),
  );
});

test('128-bit multiplication and division, with #DE where the quotient does not fit', () => {
  const edge = fc.oneof(u64, fc.constantFrom(0n, 1n, 1n << 63n, (1n << 64n) - 1n));
  const signed = (v: bigint): bigint => BigInt.asIntN(64, v);
  fc.assert(
    fc.property(edge, edge, edge, (low, high, divisor) => {
      assert.equal(unsigned(rt.call('mul_u64_hi', low, high)), (low * high) >> 64n);
      const product = BigInt.asUintN(64, (signed(low) * signed(high)) >> 64n);
      assert.equal(unsigned(rt.call('mul_s64_hi', low, high)), product);

      const check = (name: string, dividend: bigint, by: bigint, fits: (q: bigint) => boolean) => {
        const ok = by !== 0n && fits(dividend / by);
        const vector = rt.faultOf(() => rt.call(name, low, high, divisor));
        assert.equal(vector, ok ? -1 : 0, name);
        if (!ok) return;
        assert.equal(rt.get64(L.OPERANDS), BigInt.asUintN(64, dividend / by), name);
        assert.equal(rt.get64(L.OPERANDS + 8), BigInt.asUintN(64, dividend % by), name);
      };
      check('div_u128', (high << 64n) | low, divisor, (q) => q >> 64n === 0n);
      const dividend = (signed(high) << 64n) | low;
      check('idiv_s128', dividend, signed(divisor), (q) => signed(q) === q);
    }),
    { numRuns: 2000 },
  );
});
