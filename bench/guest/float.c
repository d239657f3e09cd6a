// Scalar floating point: SSE2 in 64-bit code, the x87 in 32-bit code, as compilers and Debian do.
#include "kernel.h"

static inline u64 double_bits(double value) {
  union { double number; u64 bits; } both = {value};
  return both.bits;
}

static inline u32 single_bits(float value) {
  union { float number; u32 bits; } both = {value};
  return both.bits;
}

struct body {
  double x, y, z, vx, vy, vz, mass;
};

static const struct body solar_system[5] = {
    {0, 0, 0, 0, 0, 0, 39.5},
    {4.8, -1.2, -0.1, 0.6, 2.8, -0.02, 0.04},
    {8.3, 4.1, -0.4, -1.0, 1.8, 0.008, 0.011},
    {12.9, -15.1, -0.2, 1.1, 0.9, -0.01, 0.0017},
    {15.4, -25.9, 0.2, 1.0, 0.6, -0.03, 0.002},
};

OPAQUE static void move_bodies(struct body *all, u32 count, double step) {
  for (u32 i = 0; i < count; i++) {
    for (u32 j = i + 1; j < count; j++) {
      double dx = all[i].x - all[j].x, dy = all[i].y - all[j].y, dz = all[i].z - all[j].z;
      double square = dx * dx + dy * dy + dz * dz;
      double scale = step / (square * __builtin_sqrt(square));
      all[i].vx -= dx * all[j].mass * scale;
      all[i].vy -= dy * all[j].mass * scale;
      all[i].vz -= dz * all[j].mass * scale;
      all[j].vx += dx * all[i].mass * scale;
      all[j].vy += dy * all[i].mass * scale;
      all[j].vz += dz * all[i].mass * scale;
    }
  }
  for (u32 i = 0; i < count; i++) {
    all[i].x += step * all[i].vx;
    all[i].y += step * all[i].vy;
    all[i].z += step * all[i].vz;
  }
}

enum { order = 20 };

static u64 double_pass(void *memory) {
  struct body *all = memory;
  for (u32 i = 0; i < 5; i++) all[i] = solar_system[i];
  for (u32 i = 0; i < 500; i++) move_bodies(all, 5, 0.001);
  u64 sum = 0;
  for (u32 i = 0; i < 5; i++) sum = fold(sum, double_bits(all[i].x + all[i].vy));
  double *a = memory, *b = a + order * order, *c = b + order * order;
  for (u32 i = 0; i < order * order; i++) {
    a[i] = (double)(int)(i % 17) - 8.25;
    b[i] = 1.0 / (double)(int)(i + 3);
  }
  for (u32 i = 0; i < order; i++) {
    for (u32 j = 0; j < order; j++) {
      double dot = 0;
      for (u32 k = 0; k < order; k++) dot += a[i * order + k] * b[k * order + j];
      c[i * order + j] = dot;
    }
  }
  for (u32 i = 0; i < order * order; i += 7) sum = fold(sum, double_bits(c[i]));
  return sum;
}

static u64 single_pass(void *memory) {
  u32 total = 0;
  for (int row = 0; row < 24; row++) {
    for (int column = 0; column < 32; column++) {
      float cx = (float)column * 0.08f - 2.0f, cy = (float)row * 0.1f - 1.2f;
      float x = 0, y = 0;
      u32 steps = 0;
      while (steps < 60 && x * x + y * y < 4.0f) {
        float next = x * x - y * y + cx;
        y = 2.0f * x * y + cy;
        x = next;
        steps++;
      }
      total = total * 31 + steps;
    }
  }
  // A filter of 16 taps over a wave in fixed point, clipped and back to integers.
  float *wave = memory, taps[16];
  for (int i = 0; i < 16; i++) taps[i] = 1.0f / (float)(i + 2);
  u32 random = 5;
  for (u32 i = 0; i < 600; i++) wave[i] = (float)(int)(next_random(&random) >> 16) - 32768.0f;
  u64 sum = total;
  for (u32 i = 0; i + 16 <= 600; i++) {
    float filtered = 0;
    for (u32 j = 0; j < 16; j++) filtered += wave[i + j] * taps[j];
    if (filtered > 30000.0f) filtered = 30000.0f;
    if (filtered < -30000.0f) filtered = -30000.0f;
    sum += (u64)(int64_t)(int)filtered ^ single_bits(filtered);
  }
  return fold(sum, total);
}

const struct kernel float_kernels[] = {
    {"fp-double", order * order * 8 * 3, 0, double_pass, 0},
    {"fp-single", 4096, 0, single_pass, 0},
    {0, 0, 0, 0, 0},
};
