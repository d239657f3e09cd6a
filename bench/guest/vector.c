// SSE2: packed floating point and packed integers, by the instructions any x86-64 has.
#include "kernel.h"

#ifndef __x86_64__
#pragma GCC target("sse2")
#endif

typedef float f32x4 __attribute__((vector_size(16)));
typedef double f64x2 __attribute__((vector_size(16)));
typedef int i32x4 __attribute__((vector_size(16)));
typedef short i16x8 __attribute__((vector_size(16)));
typedef char i8x16 __attribute__((vector_size(16)));
typedef long long i64x2 __attribute__((vector_size(16)));

enum { floats = 4096, pixels = 16 << 10 };

static u64 packed_pass(void *memory) {
  f32x4 *a = memory, *b = a + floats / 4;
  f64x2 *c = (f64x2 *)(b + floats / 4);
  for (int i = 0; i < floats / 4; i++) {
    i32x4 whole = {i, i + 1, i * 3, i ^ 21};
    a[i] = __builtin_convertvector(whole, f32x4) * 0.25f + 1.0f;
    b[i] = 100.0f / a[i];
    c[i] = (f64x2){i * 0.5, i + 2.5};
  }
  f32x4 sums = {0}, largest = {0};
  f64x2 wide = {0};
  for (int round = 0; round < 4; round++) {
    f32x4 scale = (f32x4){1, 2, 3, 4} * (0.125f * (float)(round + 1));
    for (int i = 0; i < floats / 4; i++) {
      a[i] = a[i] * scale + b[i];
      sums += __builtin_ia32_sqrtps(a[i]) - b[i];
      largest = __builtin_ia32_maxps(largest, a[i]);
      wide += c[i] * c[i] / (c[i] + 1.0);
    }
  }
  i32x4 result = (i32x4)sums ^ (i32x4)largest;
  i64x2 wide_bits = (i64x2)wide;
  u64 sum = fold((u64)wide_bits[0], (u64)wide_bits[1]);
  for (int i = 0; i < 4; i++) sum = fold(sum, (u32)result[i]);
  return sum;
}

static void pixels_prepare(void *memory) {
  u8 *all = memory;
  u32 random = 77;
  for (u32 i = 0; i < pixels * 2; i++) all[i] = (u8)(next_random(&random) >> 9);
}

static u64 sse_integer_pass(void *memory) {
  const i8x16 *left = memory, *right = left + pixels / 16;
  i8x16 *out = (i8x16 *)memory + pixels / 16 * 2;
  i64x2 distance = {0};
  i32x4 products = {0};
  u32 brighter = 0;
  const i8x16 zero = {0};
  for (int i = 0; i < pixels / 16; i++) {
    i8x16 a = left[i], b = right[i];
    distance += (i64x2)__builtin_ia32_psadbw128(a, b);
    i8x16 mean = __builtin_ia32_pavgb128(a, b);
    i8x16 added = __builtin_ia32_paddusb128(a, b);
    brighter = brighter * 3 + (u32)__builtin_ia32_pmovmskb128(a > b);
    i16x8 low = (i16x8)__builtin_ia32_punpcklbw128(mean, zero);
    i16x8 high = (i16x8)__builtin_ia32_punpckhbw128(added, zero);
    products += __builtin_ia32_pmaddwd128(low, high);
    i16x8 blended = (low * 3 + high) >> 2;
    i32x4 turned = __builtin_ia32_pshufd((i32x4)blended, 0x1b);
    out[i] = __builtin_ia32_packuswb128((i16x8)turned, high) ^ (mean & added);
    products ^= turned << 3;
  }
  u64 sum = fold((u64)distance[0], (u64)distance[1]);
  for (int i = 0; i < 4; i++) sum = fold(sum, (u32)products[i]);
  i64x2 all = {0};
  for (int i = 0; i < pixels / 16; i++) all = all * 5 + (i64x2)out[i];
  return fold(fold(sum, brighter), fold((u64)all[0], (u64)all[1]));
}

const struct kernel vector_kernels[] = {
    {"fp-vector", floats * 8 + floats * 4, 0, packed_pass, 0},
    {"sse-integer", pixels * 3, pixels_prepare, sse_integer_pass, 0},
    {0, 0, 0, 0, 0},
};
