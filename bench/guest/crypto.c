// Hashing and ciphers, without instructions made for them.
#include "kernel.h"

enum { data_bytes = 8 << 10, buckets = 4096 };

struct tables {
  u8 data[data_bytes];
  u32 crc[256];
  u8 sbox[256];
  u32 cipher[256]; // AES: SubBytes and MixColumns of one byte; the other three are rotations
  u32 round_keys[44];
  u32 keys[buckets], counts[buckets];
};

static inline u32 rotate_right(u32 value, u32 count) {
  return value >> count | value << (32 - count);
}

static void crypto_prepare(void *memory) {
  struct tables *t = memory;
  u32 random = 12345;
  for (u32 i = 0; i < data_bytes; i++) t->data[i] = (u8)(next_random(&random) >> 11);
  for (u32 i = 0; i < 256; i++) {
    u32 crc = i;
    for (u32 bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    t->crc[i] = crc;
  }
  // The S-box by walking the field with its generator 3 and the generator's inverse [FIPS 197 5.1.1].
  u8 p = 1, q = 1;
  do {
    p = (u8)(p ^ p << 1 ^ (p & 0x80 ? 0x1b : 0));
    q ^= (u8)(q << 1);
    q ^= (u8)(q << 2);
    q ^= (u8)(q << 4);
    if (q & 0x80) q ^= 9;
    u32 twice = (u32)q << 8 | q;
    t->sbox[p] = (u8)(q ^ twice >> 7 ^ twice >> 6 ^ twice >> 5 ^ twice >> 4 ^ 0x63);
  } while (p != 1);
  t->sbox[0] = 0x63;
  for (u32 i = 0; i < 256; i++) {
    u32 s = t->sbox[i], doubled = (s << 1 ^ (s & 0x80 ? 0x11b : 0)) & 0xff;
    t->cipher[i] = doubled | s << 8 | s << 16 | (doubled ^ s) << 24;
  }
  for (u32 i = 0; i < 4; i++) t->round_keys[i] = next_random(&random);
  u32 constant = 1;
  for (u32 i = 4; i < 44; i++) {
    u32 word = t->round_keys[i - 1];
    if (i % 4 == 0) {
      word = rotate_right(word, 8);
      word = t->sbox[word & 255] | (u32)t->sbox[word >> 8 & 255] << 8 |
             (u32)t->sbox[word >> 16 & 255] << 16 | (u32)t->sbox[word >> 24] << 24;
      word ^= constant;
      constant = (constant << 1 ^ (constant & 0x80 ? 0x11b : 0)) & 0xff;
    }
    t->round_keys[i] = t->round_keys[i - 4] ^ word;
  }
}

static u64 hash_pass(void *memory) {
  struct tables *t = memory;
  u32 crc = ~0u;
  for (u32 i = 0; i < data_bytes; i++) crc = crc >> 8 ^ t->crc[(crc ^ t->data[i]) & 255];
  for (u32 i = 0; i < buckets; i++) t->keys[i] = t->counts[i] = 0;
  // Counts strings of three bytes in an open table, by FNV-1a of each.
  u32 longest = 0;
  for (u32 i = 0; i < 3000; i++) {
    u32 hash = 2166136261u;
    for (u32 j = 0; j < 3; j++) hash = (hash ^ (t->data[i + j] & 15)) * 16777619u;
    u32 probes = 0, slot = hash ^ hash >> 15;
    while (t->counts[slot &= buckets - 1] && t->keys[slot] != hash) slot++, probes++;
    t->keys[slot] = hash;
    t->counts[slot]++;
    if (probes > longest) longest = probes;
  }
  u64 sum = fold(crc, longest);
  for (u32 i = 0; i < buckets; i += 8) sum = fold(sum, t->counts[i]);
  return sum;
}

static const u32 sha_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

/** One block of SHA-256 [FIPS 180-4 6.2.2]. */
OPAQUE static void sha_block(u32 *state, const u8 *data) {
  u32 w[64];
  for (u32 i = 0; i < 16; i++) {
    w[i] = (u32)data[i * 4] << 24 | (u32)data[i * 4 + 1] << 16 | (u32)data[i * 4 + 2] << 8 |
           data[i * 4 + 3];
  }
  for (u32 i = 16; i < 64; i++) {
    u32 a = w[i - 15], b = w[i - 2];
    w[i] = w[i - 16] + w[i - 7] + (rotate_right(a, 7) ^ rotate_right(a, 18) ^ a >> 3) +
           (rotate_right(b, 17) ^ rotate_right(b, 19) ^ b >> 10);
  }
  u32 s[8];
  for (u32 i = 0; i < 8; i++) s[i] = state[i];
  for (u32 i = 0; i < 64; i++) {
    u32 e = s[4], a = s[0];
    u32 one = s[7] + (rotate_right(e, 6) ^ rotate_right(e, 11) ^ rotate_right(e, 25)) +
              ((e & s[5]) ^ (~e & s[6])) + sha_constants[i] + w[i];
    u32 two = (rotate_right(a, 2) ^ rotate_right(a, 13) ^ rotate_right(a, 22)) +
              ((a & s[1]) ^ (a & s[2]) ^ (s[1] & s[2]));
    for (u32 j = 7; j > 0; j--) s[j] = s[j - 1];
    s[4] += one;
    s[0] = one + two;
  }
  for (u32 i = 0; i < 8; i++) state[i] += s[i];
}

static u64 sha256_pass(void *memory) {
  const struct tables *t = memory;
  u32 state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                  0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  for (u32 i = 0; i < data_bytes; i += 64) sha_block(state, t->data + i);
  u64 sum = 0;
  for (u32 i = 0; i < 8; i++) sum = fold(sum, state[i]);
  return sum;
}

/** AES-128 of one block by tables [FIPS 197 5.1], columns as little-endian words. */
OPAQUE static void aes_block(const struct tables *t, u32 *out, const u32 *in) {
  u32 s[4], n[4];
  const u32 *key = t->round_keys;
  for (u32 i = 0; i < 4; i++) s[i] = in[i] ^ key[i];
  for (u32 round = 1; round < 10; round++) {
    for (u32 i = 0; i < 4; i++) {
      n[i] = t->cipher[s[i] & 255] ^ rotate_right(t->cipher[s[(i + 1) & 3] >> 8 & 255], 24) ^
             rotate_right(t->cipher[s[(i + 2) & 3] >> 16 & 255], 16) ^
             rotate_right(t->cipher[s[(i + 3) & 3] >> 24], 8) ^ key[round * 4 + i];
    }
    for (u32 i = 0; i < 4; i++) s[i] = n[i];
  }
  for (u32 i = 0; i < 4; i++) {
    out[i] = (t->sbox[s[i] & 255] | (u32)t->sbox[s[(i + 1) & 3] >> 8 & 255] << 8 |
              (u32)t->sbox[s[(i + 2) & 3] >> 16 & 255] << 16 |
              (u32)t->sbox[s[(i + 3) & 3] >> 24] << 24) ^
             key[40 + i];
  }
}

static u64 aes_pass(void *memory) {
  const struct tables *t = memory;
  u32 counter[4] = {0, 1, 2, 3}, stream[4];
  u64 sum = 0;
  for (u32 i = 0; i < data_bytes; i += 16) {
    counter[0]++;
    aes_block(t, stream, counter);
    sum = fold(sum, stream[0] ^ stream[1] ^ stream[2] ^ stream[3] ^ t->data[i]);
  }
  return sum;
}

const struct kernel crypto_kernels[] = {
    {"hash", sizeof(struct tables), crypto_prepare, hash_pass, 0},
    {"sha256", sizeof(struct tables), crypto_prepare, sha256_pass, 0},
    {"aes", sizeof(struct tables), crypto_prepare, aes_pass, 0},
    {0, 0, 0, 0, 0},
};
