// The native oracle: runs cases on the host CPU in user mode and says what it did.
//
// Cases come on stdin, answers go to stdout, both as arrays of the fixed structures below. A
// signal handler is the whole machinery: it writes a case's registers into the context it will
// return to, the instruction under test runs, the trap or fault that follows enters the handler
// again, which copies the context out and loads the next case.
//
// Build: gcc -O2 -mno-red-zone -fno-stack-protector -Wl,-z,now -o native native.c
#define _GNU_SOURCE
#include <asm/ldt.h>
#include <asm/prctl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define CODE 0x10000000ul /* one page, not writable, int3 wherever a case has no code */
#define DATA 0x20000000ul /* two pages, then one that cannot be written; those around them are absent */
#define FS_BASE 0x100040ul
#define GS_BASE 0x7ff000000000ul
#define USER_DS 0x2b /* Linux's */
#define PAGE 4096
#define WINDOW 256

struct test_case {
  uint8_t code[32];
  uint32_t code_length;
  uint32_t code_offset;  // in the code page
  uint32_t data_offset;  // of the window, in the data pages
  uint32_t data_length;  // at most WINDOW
  uint64_t mode;         // 0: 64-bit code, 1: 32-bit, 2: 16-bit
  uint64_t gpr[16];      // in the encoding's order: RAX RCX RDX RBX RSP RBP RSI RDI R8..R15
  uint64_t rflags;
  uint8_t fx[512];       // FXSAVE image
  uint8_t data[WINDOW];
};

struct answer {
  uint64_t gpr[16];
  uint64_t rip;
  uint64_t rflags;
  uint32_t trap;   // exception vector
  uint32_t error;  // error code
  uint64_t cr2;
  uint8_t fx[512];
  uint8_t data[WINDOW];
};

static const int order[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                              REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

static struct test_case *cases;
static struct answer *answers;
static size_t count, next;
/* Segments of 16-bit code, in the LDT; their selectors. */
enum { CS_16 = 0x07, DS_16 = 0x0f, SS_16 = 0x17, ES_16 = 0x1f };

static uint8_t *code; /* where the page at CODE can be written */
static uint8_t *const data = (uint8_t *)DATA;

/* Without libc, which wants its own FS base. */
static long system_call(long number, long a, long b, long c) {
  long result;
  __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
  return result;
}

/* Cases load segment registers: POP, LDS... */
static void load_segments(uint64_t mode) {
  int ds = mode == 2 ? DS_16 : USER_DS, es = mode == 2 ? ES_16 : USER_DS;
  __asm__ volatile("mov %0, %%ds; mov %1, %%es; mov %2, %%fs; mov %2, %%gs" : : "r"(ds), "r"(es), "r"(0));
  system_call(SYS_arch_prctl, ARCH_SET_FS, FS_BASE, 0);
  system_call(SYS_arch_prctl, ARCH_SET_GS, GS_BASE, 0);
}

static int make_segment(int selector, uint32_t base, uint32_t limit, int is_code) {
  struct user_desc segment = {
      .entry_number = selector >> 3, .base_addr = base, .limit = limit, .contents = is_code ? 2 : 0, .useable = 1};
  return system_call(SYS_modify_ldt, 0x11, (long)&segment, sizeof segment) == 0;
}

static int make_segments(void) {
  return make_segment(CS_16, CODE, PAGE - 1, 1) && make_segment(DS_16, DATA, 0xffff, 0) &&
         make_segment(SS_16, DATA, 3 * PAGE - 1, 0) && make_segment(ES_16, DATA, 2 * PAGE - 1, 0);
}

static void finish(void) {
  size_t size = count * sizeof *answers;
  for (size_t at = 0; at < size;) {
    long n = system_call(SYS_write, 1, (long)answers + at, size - at);
    if (n <= 0) system_call(SYS_exit_group, 1, 0, 0);
    at += n;
  }
  system_call(SYS_exit_group, 0, 0, 0);
}

static void on_signal(int number, siginfo_t *info, void *context) {
  // POPF may have set AC, NT and ID, and the kernel leaves them set: this code's own accesses need not
  // be aligned, and the next case's flags come from its structure alone.
  __asm__ volatile("pushfq; andq $~0x244000, (%%rsp); popfq" : : : "cc", "memory");
  (void)number, (void)info;
  ucontext_t *uc = context;
  greg_t *regs = uc->uc_mcontext.gregs;
  uint8_t *fp = (uint8_t *)uc->uc_mcontext.fpregs;
  if (next > 0) {
    struct test_case *done = &cases[next - 1];
    struct answer *out = &answers[next - 1];
    for (int i = 0; i < 16; i++) out->gpr[i] = regs[order[i]];
    out->rip = regs[REG_RIP];
    out->rflags = regs[REG_EFL];
    out->trap = regs[REG_TRAPNO];
    out->error = regs[REG_ERR];
    out->cr2 = regs[REG_CR2];
    memcpy(out->fx, fp, 512);
    memcpy(out->data, data + done->data_offset, done->data_length);
    memset(data + done->data_offset, 0, done->data_length);
    memset(code + done->code_offset, 0xcc, done->code_length);
  }
  if (next == count) finish();
  struct test_case *in = &cases[next++];
  memcpy(code + in->code_offset, in->code, in->code_length);
  memcpy(data + in->data_offset, in->data, in->data_length);
  for (int i = 0; i < 16; i++) regs[order[i]] = in->gpr[i];
  regs[REG_RIP] = (in->mode == 2 ? 0 : CODE) + in->code_offset;
  // All kinds of code run in the same process: only segments differ (0x33 and 0x23 are Linux's).
  static const uint64_t cs[] = {0x33, 0x23, CS_16};
  regs[REG_CSGSFS] = cs[in->mode] | (uint64_t)(in->mode == 2 ? SS_16 : USER_DS) << 48;
  load_segments(in->mode);
  regs[REG_EFL] = in->rflags;
  // The kernel restores x87 and SSE from here if the XSAVE header says that they are in use.
  memcpy(fp, in->fx, 464);
  *(uint64_t *)(fp + 512) |= 3;
}

/* With an argument: says by its status whether there is 16-bit code here. */
int main(int argc, char **argv) {
  (void)argv;
  int has_16 = make_segments();
  if (argc > 1) return has_16 ? 0 : 4;
  size_t capacity = 0, size = 0;
  char *input = NULL;
  for (;;) {
    if (size == capacity) {
      capacity = capacity ? capacity * 2 : 1 << 20;
      input = realloc(input, capacity);
      if (!input) return 1;
    }
    ssize_t n = read(0, input + size, capacity - size);
    if (n < 0) return 1;
    if (n == 0) break;
    size += n;
  }
  cases = (struct test_case *)input;
  count = size / sizeof *cases;
  answers = calloc(count + 1, sizeof *answers);
  int both = PROT_READ | PROT_WRITE;
  int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_POPULATE;
  int file = memfd_create("code", 0);
  if (ftruncate(file, PAGE)) return 2;
  code = mmap(NULL, PAGE, both, MAP_SHARED, file, 0);
  int code_flags = MAP_SHARED | MAP_FIXED_NOREPLACE | MAP_POPULATE;
  if (mmap((void *)CODE, PAGE, PROT_READ | PROT_EXEC, code_flags, file, 0) != (void *)CODE) return 2;
  if (mmap(data, 2 * PAGE, both, flags, -1, 0) != data) return 2;
  if (mmap(data + 2 * PAGE, PAGE, PROT_READ, flags, -1, 0) != data + 2 * PAGE) return 2;
  memset(code, 0xcc, PAGE);
  stack_t stack = {.ss_sp = malloc(1 << 16), .ss_size = 1 << 16};
  sigaltstack(&stack, NULL);
  struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  const int signals[] = {SIGTRAP, SIGSEGV, SIGBUS, SIGILL, SIGFPE};
  for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++) sigaction(signals[i], &action, NULL);
  alarm(120);
  __asm__ volatile("int3");
  return 3;
}
