/*
 * The host CPU as the oracle for floating point: executes given instructions on random and extreme operands and
 * writes operands and results as fixed records.
 *
 *   fp-native SEED ROUNDS < instructions > records
 *
 * An instruction is a line "CLASS KINDS HEX": class s (SSE, on xmm0 and xmm1, rax in and out), x (x87, 16 bytes
 * at [rdi]) or e (x87, 112 bytes at [rdi]); kinds: one letter for each operand (see `operand`).
 * Every round makes one case of each instruction.
 *
 * Records: s 80 bytes, x 224, e 416: struct sse_case, x87_case below.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

struct sse_case {
  uint16_t op, trap;
  uint32_t mxcsr_in;
  uint8_t a[16], b[16];
  uint64_t rax_in;
  uint8_t result[16];
  uint64_t rax_out;
  uint32_t mxcsr_out, eflags;
};

struct x87_state {
  uint16_t fcw, fsw, fop;
  uint8_t ftw;
  /* After: bit 0 FIP is the instruction's, bit 1 FDP is the operand's. Bits 2 and 3: unchanged. */
  uint8_t pointers;
  uint8_t st[8][10];
};

struct x87_case {
  uint16_t op, trap;
  uint32_t eflags_in;
  struct x87_state in, out;
  uint16_t ax_out, pad;
  uint32_t eflags_out;
  uint8_t mem[2][112]; /* before and after; 16 bytes each in class x */
};

static uint64_t seed;
static uint64_t random64(void) {
  seed += 0x9e3779b97f4a7c15ull;
  uint64_t z = seed;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}
static uint32_t below(uint32_t n) { return (random64() >> 11) % n; }

/* A fraction of n bits, often a special one. */
static uint64_t fraction(int n) {
  uint64_t mask = n == 64 ? ~0ull : (1ull << n) - 1;
  switch (below(12)) {
    case 0: return 0;
    case 1: return mask;
    case 2: return 1ull << below(n);
    case 3: return mask ^ (1ull << below(n));
    case 4: return 1ull << (n - 1);
    case 5: return below(4);
    case 6: return mask - below(4);
    case 7: return mask & (random64() << below(n));
    case 8: return (1ull << (n - 1)) + below(3) - 1;
    default: return random64() & mask;
  }
}

/* An exponent field: special, near the other operand's, or small integers' range, or anything. */
static uint32_t exponent(int bits, uint32_t near) {
  uint32_t max = (1u << bits) - 1, bias = max >> 1;
  switch (below(16)) {
    case 0: return 0;
    case 1: return max;
    case 2: return max - 1 - below(3);
    case 3: return 1 + below(3);
    case 4: return below(80) & max;
    case 5: return (max - below(80)) & max;
    case 6: return random64() & max;
    case 7: case 8: return (bias + below(72) - 4) & max;
    case 9: case 10: return (bias + below(5) - 2) & max;
    case 11: return (bias / 2 + below(40)) & max;
    case 12: return (bias + bias / 2 - below(40)) & max;
    default: return (near + below(7) - 3) & max;
  }
}

static uint32_t near;

/* One number: s binary32, d binary64, t 80 bits, w l q integers, b BCD, c control word, r raw bytes */
static void operand(char kind, uint8_t *to) {
  uint64_t v = 0;
  if (kind == 's' || kind == 'd') {
    int eb = kind == 's' ? 8 : 11, fb = kind == 's' ? 23 : 52;
    near = exponent(eb, near);
    v = (random64() & 1) << (eb + fb) | (uint64_t)near << fb | fraction(fb);
    memcpy(to, &v, kind == 's' ? 4 : 8);
  } else if (kind == 't') {
    near = exponent(15, near);
    v = fraction(63);
    uint16_t se = (random64() & 1) << 15 | near;
    if (near ? below(20) != 0 : below(4) == 0) v |= 1ull << 63;
    if (near == 0 && below(3) == 0) v = 0;
    memcpy(to, &v, 8);
    memcpy(to + 8, &se, 2);
  } else if (kind == 'w' || kind == 'l' || kind == 'q') {
    v = fraction(kind == 'w' ? 16 : kind == 'l' ? 32 : 64);
    if (below(3) == 0) v = (int64_t)v >> below(64);
    memcpy(to, &v, 8);
  } else if (kind == 'b') {
    for (int i = 0; i < 10; i++) to[i] = below(10) << 4 | below(10);
    for (int i = below(10); i < 9 && below(2); i++) to[i] = 0;
    to[9] = below(2) << 7 | (below(8) ? 0 : below(128));
    if (below(8) == 0) to[below(9)] = random64();
  } else {
    for (int i = 0; i < 10; i++) to[i] = random64();
  }
}

static uint8_t *code;
static uint8_t *after;
static volatile int trapped;
static void on_fault(int sig, siginfo_t *info, void *context) {
  ucontext_t *uc = context;
  trapped = uc->uc_mcontext.gregs[REG_TRAPNO] + (sig << 8);
  uc->uc_mcontext.gregs[REG_RIP] = (greg_t)after;
}

static uint8_t *emit(uint8_t *p, const char *hex) {
  for (; *hex; hex++) {
    if (*hex == ' ') continue;
    unsigned byte;
    sscanf(hex, "%2x", &byte);
    *p++ = byte;
    hex++;
  }
  return p;
}

static struct {
  uint8_t fx_in[512] __attribute__((aligned(64)));
  uint8_t fx_out[512] __attribute__((aligned(64)));
  uint8_t mem[512] __attribute__((aligned(64)));
} area;

/* rbx = fx_in, rdx = fx_out, rdi = mem. Saves what C wants kept. */
static uint8_t *build(const char *insn, uint8_t **at) {
  uint8_t *p = code;
  p = emit(p, "53 48 89 f3");               /* push rbx; mov rbx,rsi */
  p = emit(p, "48 8b 07");                  /* mov rax,[rdi] */
  p = emit(p, "48 0f ae 0b");               /* fxrstor64 [rbx] */
  p = emit(p, "ff b3 d8 01 00 00 9d");      /* push [rbx+472]; popfq */
  *at = p;
  p = emit(p, insn);
  after = p;
  p = emit(p, "9c 8f 82 d8 01 00 00");      /* pushfq; pop [rdx+472] */
  p = emit(p, "48 0f ae 02");               /* fxsave64 [rdx] */
  p = emit(p, "48 89 82 d0 01 00 00");      /* mov [rdx+464],rax */
  p = emit(p, "db e3 5b c3");               /* fninit; pop rbx; ret */
  return p;
}

static void run(void) {
  uint32_t mxcsr = 0x1f80;
  trapped = 0;
  memset(area.fx_out, 0, sizeof area.fx_out);
  ((void (*)(void *, void *, void *))code)(area.mem, area.fx_in, area.fx_out);
  __asm__ volatile("ldmxcsr %0" : : "m"(mxcsr));
}

static void sse_case(int op, const char *kinds) {
  struct sse_case c = {0};
  uint8_t *words = area.fx_in;
  c.op = op;
  near = 0;
  for (int half = 0; half < 2; half++) {
    char kind = kinds[half] ? kinds[half] : kinds[0];
    int size = kind == 's' || kind == 'l' || kind == 'w' ? 4 : 8;
    uint8_t *to = half ? c.b : c.a;
    uint8_t number[16];
    for (int i = 0; i < 16; i += size) {
      operand(kind, number);
      memcpy(to + i, number, size);
    }
  }
  if (below(6) == 0) {
    memcpy(c.b, c.a, 16);
    c.b[below(16)] ^= 1 << below(8);
  }
  operand('q', (uint8_t *)&c.rax_in);
  /* Half the cases with all masked; DAZ and FTZ in a quarter each. */
  c.mxcsr_in = below(4) << 13 | (below(2) ? 0x1f80 : (random64() & 0x1f80)) | (random64() & 0x3f);
  if (below(2)) c.mxcsr_in &= ~0x3f;
  if (below(4) == 0) c.mxcsr_in |= 0x40;
  if (below(4) == 0) c.mxcsr_in |= 0x8000;
  memset(words, 0, 512);
  words[0] = 0x7f;
  words[1] = 3;
  memcpy(words + 24, &c.mxcsr_in, 4);
  memcpy(words + 160, c.a, 16);
  memcpy(words + 176, c.b, 16);
  words[472] = 2;
  memcpy(area.mem, &c.rax_in, 8);
  run();
  c.trap = trapped;
  memcpy(c.result, area.fx_out + 160, 16);
  memcpy(&c.mxcsr_out, area.fx_out + 24, 4);
  memcpy(&c.rax_out, area.fx_out + 464, 8);
  memcpy(&c.eflags, area.fx_out + 472, 4);
  c.eflags &= 0x8d5;
  fwrite(&c, sizeof c, 1, stdout);
}

static const uint64_t OLD_IP = 0x123456789a, OLD_DP = 0x23456789ab;

static void x87_case(int op, char class, const char *kinds, uint8_t *insn) {
  struct x87_case c = {0};
  unsigned bytes = class == 'e' ? 112 : 16;
  c.op = op;
  c.eflags_in = 2 | (random64() & 0x8d5);
  c.in.fcw = 0x40 | below(4) << 10 | (below(2) ? 3 : below(4)) << 8 | (below(3) ? 0x3f : below(64));
  /* Condition codes and sticky flags; pending exceptions in one case of eight. */
  c.in.fsw = (random64() & 0x7f00) | (below(2) ? 0 : random64() & 0x7f);
  if (below(8)) c.in.fsw &= ~(~c.in.fcw & 0x3f);
  if (c.in.fsw & ~c.in.fcw & 0x3f) c.in.fsw |= 0x8080;
  c.in.ftw = below(2) ? 0xff : random64();
  c.in.fop = below(2048);
  near = 0;
  for (int i = 0; i < 8; i++) operand(kinds[0], c.in.st[i]);
  if (below(6) == 0) {
    memcpy(c.in.st[1], c.in.st[0], 10);
    c.in.st[1][below(10)] ^= 1 << below(8);
  }
  if (kinds[0] && kinds[1]) for (unsigned i = 0; i + 16 <= bytes; i += 10) operand(kinds[1], c.mem[0] + i);
  uint8_t *fx = area.fx_in;
  memset(fx, 0, 512);
  memcpy(fx, &c.in.fcw, 2);
  memcpy(fx + 2, &c.in.fsw, 2);
  fx[4] = c.in.ftw;
  memcpy(fx + 6, &c.in.fop, 2);
  memcpy(fx + 8, &OLD_IP, 8);
  memcpy(fx + 16, &OLD_DP, 8);
  fx[24] = 0x80;
  fx[25] = 0x1f;
  for (int i = 0; i < 8; i++) memcpy(fx + 32 + 16 * i, c.in.st[i], 10);
  memcpy(fx + 472, &c.eflags_in, 4);
  memcpy(area.mem, c.mem[0], bytes);
  run();
  fx = area.fx_out;
  c.trap = trapped;
  memcpy(&c.out.fcw, fx, 2);
  memcpy(&c.out.fsw, fx + 2, 2);
  c.out.ftw = fx[4];
  memcpy(&c.out.fop, fx + 6, 2);
  uint64_t ip, dp;
  memcpy(&ip, fx + 8, 8);
  memcpy(&dp, fx + 16, 8);
  c.out.pointers = (ip == (uint64_t)insn) | (dp == (uint64_t)area.mem) << 1 | (ip == OLD_IP) << 2 | (dp == OLD_DP) << 3;
  for (int i = 0; i < 8; i++) memcpy(c.out.st[i], fx + 32 + 16 * i, 10);
  memcpy(&c.ax_out, fx + 464, 2);
  memcpy(&c.eflags_out, fx + 472, 4);
  c.eflags_in &= 0x8d5;
  c.eflags_out &= 0x8d5;
  if (class == 'x') {
    memcpy(c.mem[0] + 16, area.mem, 16);
    fwrite(&c, sizeof c - 192, 1, stdout);
  } else {
    memcpy(c.mem[1], area.mem, 112);
    fwrite(&c, sizeof c, 1, stdout);
  }
}

int main(int argc, char **argv) {
  static struct { char class, kinds[8], hex[64]; } list[1024];
  int n = 0;
  if (argc != 3) return 64;
  seed = strtoull(argv[1], 0, 0);
  int rounds = atoi(argv[2]);
  while (n < 1024 && scanf(" %c %7s %63[^\n]", &list[n].class, list[n].kinds, list[n].hex) == 3) n++;
  code = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};
  sigaction(SIGFPE, &action, 0);
  sigaction(SIGILL, &action, 0);
  sigaction(SIGSEGV, &action, 0);
  /* All rounds of an instruction together: its code is built once. */
  for (int i = 0; i < n; i++) {
    uint8_t *insn;
    build(list[i].hex, &insn);
    for (int round = 0; round < rounds; round++) {
      if (list[i].class == 's') sse_case(i, list[i].kinds);
      else x87_case(i, list[i].class, list[i].kinds, insn);
    }
  }
  return 0;
}
