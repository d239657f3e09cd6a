// Integer arithmetic, branches, calls, interpreters.
#include "kernel.h"

static inline u32 rotate32(u32 value, u32 count) {
  return value << (count & 31) | value >> (-count & 31);
}

static inline u64 rotate64(u64 value, u32 count) {
  return value << (count & 63) | value >> (-count & 63);
}

static u64 integer_pass(void *memory) {
  (void)memory;
  u32 a = 1, b = 0x12345678, c = 0x9abcdef0, d = 7;
  for (u32 i = 0; i < 100000; i++) {
    a += b ^ i;
    b = rotate32(b + c, 7) - a;
    c = c * 5 + (a >> 3);
    d ^= (c & b) | (a & ~b);
    if ((i & 15) == 0) d += a / ((b & 0xffff) + 1);
  }
  return fold(fold(a, b), fold(c, d));
}

/** The whole product's upper half; without a 128-bit type by four products of halves. */
static inline u64 multiply_high(u64 a, u64 b) {
#ifdef __x86_64__
  return (u64)((unsigned __int128)a * b >> 64);
#else
  u64 low = (u64)(u32)a * (u32)b;
  u64 middle = (a >> 32) * (u32)b + (low >> 32);
  u64 other = (u64)(u32)a * (u32)(b >> 32) + (u32)middle;
  return (a >> 32) * (b >> 32) + (middle >> 32) + (other >> 32);
#endif
}

static u64 mul64_pass(void *memory) {
  (void)memory;
  u64 x = 88172645463325252u, sum = 0;
  for (u32 i = 0; i < 50000; i++) {
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    sum += multiply_high(x, 0xd6e8feb86659fd93u) ^ x * 0xa0761d6478bd642fu;
    sum = rotate64(sum, (u32)x);
    sum -= (u64)((int64_t)x >> (i & 63));
  }
  return fold(sum, x);
}

static u64 branch_pass(void *memory) {
  (void)memory;
  u64 sum = 0;
  for (u32 start = 1; start <= 700; start++) {
    u32 n = start, steps = 0;
    while (n != 1) {
      if (n & 1) n = n * 3 + 1;
      else n >>= 1;
      steps++;
    }
    sum += steps * start;
  }
  // A scanner's states over random symbols: branches that no predictor guesses well.
  u32 state = 0, random = 2463534242u, counts[5] = {0};
  for (u32 i = 0; i < 20000; i++) {
    u32 symbol = next_random(&random) >> 28;
    if (state == 0) {
      if (symbol < 4) state = 1;
      else if (symbol > 12) state = 2;
    } else if (state == 1) {
      if (symbol & 1) counts[1]++;
      else if (symbol > 8) state = 3;
      else state = 0;
    } else if (state == 2) {
      if (symbol == 7 || symbol == 11) state = 0;
      else if (symbol < 3) counts[2] += symbol;
      else state = symbol < 9 ? 3 : 4;
    } else if (state == 3) {
      counts[3] += symbol > 5 ? 3 : 1;
      state = symbol > 10 ? 4 : 0;
    } else {
      if (symbol & 4) state = 0;
      counts[4] ^= symbol;
    }
  }
  for (u32 i = 0; i < 5; i++) sum = fold(sum, counts[i]);
  return sum;
}

OPAQUE static int take(int x, int y, int z) {
  return y >= x ? z : take(take(x - 1, y, z), take(y - 1, z, x), take(z - 1, x, y));
}

OPAQUE static u32 fibonacci(u32 n) {
  return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

OPAQUE static u32 leaf(u32 a, u32 b) {
  return (a ^ b) + 1;
}

static u64 call_pass(void *memory) {
  (void)memory;
  u64 sum = fold((u64)take(12, 8, 4), fibonacci(18));
  u32 value = 1;
  for (u32 i = 0; i < 20000; i++) value = leaf(value, i) + leaf(i, value);
  return fold(sum, value);
}

// A machine of sixteen registers; instructions are {operation, to, left, right or constant}.
enum { op_set, op_add, op_sub, op_mul, op_xor, op_shift, op_load, op_store, op_less, op_jump, op_end };

struct instruction {
  u8 op, to, left, right;
};

struct machine {
  u32 registers[16];
  u32 cells[256];
  u32 at; // the next instruction
};

// Fills the cells with a recurrence, then sums them up, 20 times.
static const struct instruction program[] = {
    {op_set, 0, 0, 0},   {op_set, 1, 0, 1},   {op_set, 9, 0, 20},  {op_set, 10, 0, 17},
    {op_set, 11, 0, 255}, {op_set, 2, 0, 0},
    // 6: cells[i] = (x = x * 17 + i) ^ x >> 3
    {op_mul, 3, 3, 10},  {op_add, 3, 3, 2},   {op_shift, 4, 3, 3}, {op_xor, 4, 4, 3},
    {op_store, 4, 2, 0}, {op_add, 2, 2, 1},   {op_less, 5, 2, 11}, {op_jump, 6, 5, 0},
    {op_set, 2, 0, 0},
    // 15: sum ^= cells[i] - i
    {op_load, 4, 2, 0},  {op_sub, 4, 4, 2},   {op_xor, 6, 6, 4},   {op_add, 6, 6, 1},
    {op_add, 2, 2, 1},   {op_less, 5, 2, 11}, {op_jump, 15, 5, 0},
    {op_sub, 9, 9, 1},   {op_jump, 5, 9, 0},  {op_end, 0, 0, 0},
};

typedef int handler(struct machine *m, struct instruction i);

static int do_set(struct machine *m, struct instruction i) { m->registers[i.to] = i.right; return 1; }
static int do_add(struct machine *m, struct instruction i) {
  m->registers[i.to] = m->registers[i.left] + m->registers[i.right];
  return 1;
}
static int do_sub(struct machine *m, struct instruction i) {
  m->registers[i.to] = m->registers[i.left] - m->registers[i.right];
  return 1;
}
static int do_mul(struct machine *m, struct instruction i) {
  m->registers[i.to] = m->registers[i.left] * m->registers[i.right];
  return 1;
}
static int do_xor(struct machine *m, struct instruction i) {
  m->registers[i.to] = m->registers[i.left] ^ m->registers[i.right];
  return 1;
}
static int do_shift(struct machine *m, struct instruction i) {
  m->registers[i.to] = m->registers[i.left] >> i.right;
  return 1;
}
static int do_load(struct machine *m, struct instruction i) {
  m->registers[i.to] = m->cells[m->registers[i.left] & 255];
  return 1;
}
static int do_store(struct machine *m, struct instruction i) {
  m->cells[m->registers[i.left] & 255] = m->registers[i.to];
  return 1;
}
static int do_less(struct machine *m, struct instruction i) {
  m->registers[i.to] = m->registers[i.left] < m->registers[i.right];
  return 1;
}
static int do_jump(struct machine *m, struct instruction i) {
  if (m->registers[i.left]) m->at = i.to;
  return 1;
}
static int do_end(struct machine *m, struct instruction i) { (void)m; (void)i; return 0; }

static handler *const handlers[] = {do_set,   do_add,  do_sub,   do_mul,  do_xor, do_shift,
                                    do_load,  do_store, do_less, do_jump, do_end};

OPAQUE static void run_by_calls(struct machine *m, const struct instruction *code) {
  struct instruction i;
  do i = code[m->at++];
  while (handlers[i.op](m, i));
}

OPAQUE static void run_by_jumps(struct machine *m, const struct instruction *code) {
  u32 *r = m->registers;
  for (u32 at = 0;;) {
    struct instruction i = code[at++];
    switch (i.op) {
      case op_set: r[i.to] = i.right; break;
      case op_add: r[i.to] = r[i.left] + r[i.right]; break;
      case op_sub: r[i.to] = r[i.left] - r[i.right]; break;
      case op_mul: r[i.to] = r[i.left] * r[i.right]; break;
      case op_xor: r[i.to] = r[i.left] ^ r[i.right]; break;
      case op_shift: r[i.to] = r[i.left] >> i.right; break;
      case op_load: r[i.to] = m->cells[r[i.left] & 255]; break;
      case op_store: m->cells[r[i.left] & 255] = r[i.to]; break;
      case op_less: r[i.to] = r[i.left] < r[i.right]; break;
      case op_jump: if (r[i.left]) at = i.to; break;
      default: return;
    }
  }
}

static u64 interpret(void (*run)(struct machine *, const struct instruction *)) {
  struct machine machine = {{0}, {0}, 0};
  run(&machine, program);
  u64 sum = 0;
  for (u32 i = 0; i < 16; i++) sum = fold(sum, machine.registers[i]);
  return sum;
}

static u64 indirect_pass(void *memory) {
  (void)memory;
  return interpret(run_by_calls);
}

static u64 bytecode_pass(void *memory) {
  (void)memory;
  return interpret(run_by_jumps);
}

const struct kernel integer_kernels[] = {
    {"integer", 0, 0, integer_pass, 0},     {"mul64", 0, 0, mul64_pass, 0},
    {"branch", 0, 0, branch_pass, 0},       {"call", 0, 0, call_pass, 0},
    {"indirect", 0, 0, indirect_pass, 0},   {"bytecode", 0, 0, bytecode_pass, 0},
    {0, 0, 0, 0, 0},
};
