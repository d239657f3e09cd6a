// What every file of the guest program shares: integer types, the kernel's record, system calls.
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

/**
 * One measured piece of work. A pass takes a millisecond or so on a processor of today, starts from
 * the same state each time and returns the same checksum each time, so that a checksum does not
 * depend on how many passes a peer has time for.
 */
struct kernel {
  const char *name;
  size_t bytes; // of zeroed memory mapped for it before and unmapped after the run
  void (*prepare)(void *memory); // not measured; may be null
  u64 (*pass)(void *memory);
  void (*finish)(void *memory); // not measured; may be null
};

extern const struct kernel integer_kernels[], memory_kernels[], crypto_kernels[], float_kernels[],
    vector_kernels[], system_kernels[]; // each ends with a nameless one

/** The path of this program, for the kernel that starts it anew. */
extern const char *program_path;

/** Mixes a value into a checksum. */
static inline u64 fold(u64 sum, u64 value) {
  sum = (sum ^ value) * 0x9e3779b97f4a7c15u;
  return sum ^ sum >> 29;
}

/** A xorshift generator [Marsaglia, Xorshift RNGs, 2003]: the same numbers everywhere. */
static inline u32 next_random(u32 *state) {
  u32 x = *state;
  x ^= x << 13;
  x ^= x >> 17;
  x ^= x << 5;
  return *state = x;
}

/** Keeps the compiler from inlining, cloning or evaluating a function ahead of time. */
#define OPAQUE __attribute__((noipa))

#ifdef __x86_64__

static inline long syscall6(long nr, long a, long b, long c, long d, long e, long f) {
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register long r9 __asm__("r9") = f;
  __asm__ volatile("syscall"
                   : "+a"(nr)
                   : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return nr;
}

enum {
  nr_read = 0, nr_write = 1, nr_close = 3, nr_mmap = 9, nr_munmap = 11, nr_rt_sigaction = 13,
  nr_rt_sigreturn = 15, nr_ioctl = 16, nr_pipe = 22, nr_getpid = 39, nr_fork = 57, nr_execve = 59,
  nr_exit = 60, nr_wait4 = 61, nr_kill = 62, nr_getppid = 110, nr_reboot = 169,
  nr_sched_setaffinity = 203, nr_clock_gettime64 = 228, nr_getcpu = 309,
};

#else

/** The vDSO's way into the kernel, as libraries use it; from the auxiliary vector. */
extern void *vsyscall;

// The sixth argument goes in EBP, which the compiler may use itself: five do here.
static inline long syscall6(long nr, long a, long b, long c, long d, long e, long f) {
  (void)f;
  __asm__ volatile("call *%[enter]"
                   : "+a"(nr)
                   : "b"(a), "c"(b), "d"(c), "S"(d), "D"(e), [enter] "m"(vsyscall)
                   : "memory");
  return nr;
}

enum {
  nr_exit = 1, nr_fork = 2, nr_read = 3, nr_write = 4, nr_close = 6, nr_execve = 11, nr_getpid = 20,
  nr_kill = 37, nr_pipe = 42, nr_ioctl = 54, nr_getppid = 64, nr_reboot = 88, nr_mmap = 90,
  nr_munmap = 91, nr_wait4 = 114, nr_rt_sigreturn = 173, nr_rt_sigaction = 174,
  nr_sched_setaffinity = 241, nr_getcpu = 318, nr_clock_gettime64 = 403,
};

#endif

#define syscall0(nr) syscall6(nr, 0, 0, 0, 0, 0, 0)
#define syscall1(nr, a) syscall6(nr, (long)(a), 0, 0, 0, 0, 0)
#define syscall2(nr, a, b) syscall6(nr, (long)(a), (long)(b), 0, 0, 0, 0)
#define syscall3(nr, a, b, c) syscall6(nr, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define syscall4(nr, a, b, c, d) syscall6(nr, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)

/** Anonymous private memory, its pages not there yet unless `populate`. */
static inline void *map_pages(size_t bytes, int populate) {
  int flags = 0x22 | (populate ? 0x8000 : 0); // MAP_PRIVATE | MAP_ANONYMOUS, MAP_POPULATE
#ifdef __x86_64__
  return (void *)syscall6(nr_mmap, 0, (long)bytes, 3, flags, -1, 0);
#else
  long arguments[6] = {0, (long)bytes, 3, flags, -1, 0};
  return (void *)syscall1(nr_mmap, arguments);
#endif
}
