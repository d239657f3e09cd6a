// The benchmark's guest program: runs the kernels it is told to, as a process or as a guest's init.
//
// It needs no C library and no division routine of the compiler's, so that gcc alone builds it for
// 64 and for 32 bits. Commands come as lines on standard input:
//   run NAME PASSES   prints "<NAME" when it starts and "=NAME PASSES CHECKSUM NS" when done
//   list              prints one line "kernel NAME" each, then "done"
//   time              prints "time NS" by CLOCK_MONOTONIC
// or as pairs NAME PASSES on the command line (for an init: after "--" on the kernel's), after which
// the program ends, and a machine whose init it is powers off.

#include "kernel.h"

const char *program_path;
#ifndef __x86_64__
void *vsyscall;
void enter_by_int80(void);
__asm__("enter_by_int80: int $0x80; ret");
#endif

static const struct kernel *const families[] = {integer_kernels, memory_kernels, crypto_kernels,
                                                float_kernels,   vector_kernels, system_kernels};

static char line[256];
static size_t used;

static void put_text(const char *text) {
  while (*text && used < sizeof line) line[used++] = *text++;
}

static void put_hex(u64 value) {
  for (int shift = 60; shift >= 0; shift -= 4) {
    char digit[2] = {"0123456789abcdef"[value >> shift & 15], 0};
    put_text(digit);
  }
}

static void put_decimal(u64 value) {
  u64 powers[20] = {1};
  for (int i = 1; i < 20; i++) powers[i] = powers[i - 1] * 10;
  int i = 19;
  while (i > 0 && value < powers[i]) i--;
  for (; i >= 0; i--) {
    char digit[2] = "0";
    for (; value >= powers[i]; value -= powers[i]) digit[0]++;
    put_text(digit);
  }
}

static void end_line(void) {
  put_text("\n");
  size_t written = 0;
  while (written < used) {
    long count = syscall3(nr_write, 1, line + written, used - written);
    if (count <= 0) break;
    written += (size_t)count;
  }
  used = 0;
}

static u64 now_ns(void) {
  struct {
    u64 seconds, ns;
  } time = {0, 0};
  syscall2(nr_clock_gettime64, 1 /* CLOCK_MONOTONIC */, &time);
  return time.seconds * 1000000000u + (u32)time.ns;
}

static int same(const char *a, const char *b) {
  while (*a && *a == *b) a++, b++;
  return *a == *b;
}

static u32 parse(const char *text) {
  u32 value = 0;
  while (*text >= '0' && *text <= '9') value = value * 10 + (u32)(*text++ - '0');
  return value;
}

static void measure(const struct kernel *kernel, u32 passes) {
  void *memory = kernel->bytes ? map_pages(kernel->bytes, 1) : 0;
  if (kernel->prepare) kernel->prepare(memory);
  put_text("<");
  put_text(kernel->name);
  end_line();
  u64 checksum = 0;
  int varies = 0;
  u64 from = now_ns();
  for (u32 i = 0; i < passes; i++) {
    u64 sum = kernel->pass(memory);
    if (i > 0 && sum != checksum) varies = 1;
    checksum = sum;
  }
  u64 spent = now_ns() - from;
  put_text("=");
  put_text(kernel->name);
  put_text(" ");
  put_decimal(passes);
  put_text(" ");
  if (varies) put_text("varies");
  else put_hex(checksum);
  put_text(" ");
  put_decimal(spent);
  end_line();
  if (kernel->finish) kernel->finish(memory);
  if (kernel->bytes) syscall2(nr_munmap, memory, kernel->bytes);
}

static void run(const char *name, u32 passes) {
  for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
    for (const struct kernel *kernel = families[i]; kernel->name; kernel++) {
      if (same(kernel->name, name)) return measure(kernel, passes);
    }
  }
  put_text("no kernel ");
  put_text(name);
  end_line();
}

static void list(void) {
  for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
    for (const struct kernel *kernel = families[i]; kernel->name; kernel++) {
      put_text("kernel ");
      put_text(kernel->name);
      end_line();
    }
  }
  put_text("done");
  end_line();
}

/** Splits a command at its spaces, in place; missing words are empty. */
static void obey(char *command) {
  char *words[3] = {"", "", ""};
  for (int i = 0; i < 3 && *command; i++) {
    words[i] = command;
    while (*command && *command != ' ') command++;
    if (*command) *command++ = 0;
  }
  if (same(words[0], "run")) run(words[1], parse(words[2]));
  else if (same(words[0], "list")) list();
  else if (same(words[0], "time")) {
    put_text("time ");
    put_decimal(now_ns());
    end_line();
  }
}

/** A terminal's echo of the commands would mix with the answers. */
static void stop_echo(void) {
  u32 settings[16] = {0}; // struct termios: input, output, control and local modes, then characters
  if (syscall3(nr_ioctl, 0, 0x5401 /* TCGETS */, settings) < 0) return;
  settings[3] &= ~8u; // ECHO
  syscall3(nr_ioctl, 0, 0x5402 /* TCSETS */, settings);
}

static void obey_input(void) {
  static char input[256];
  size_t filled = 0;
  stop_echo();
  put_text("bench ready");
  end_line();
  for (;;) {
    long count = syscall3(nr_read, 0, input + filled, sizeof input - filled);
    if (count <= 0) return;
    filled += (size_t)count;
    size_t start = 0;
    for (size_t i = 0; i < filled; i++) {
      if (input[i] != '\n' && input[i] != '\r') continue;
      input[i] = 0;
      obey(input + start);
      start = i + 1;
    }
    filled -= start;
    for (size_t i = 0; i < filled; i++) input[i] = input[start + i];
    if (filled == sizeof input) filled = 0;
  }
}

__attribute__((noreturn, used)) void start_c(long *stack) {
  long argc = stack[0];
  char **argv = (char **)(stack + 1);
  long *auxiliary = stack + 1 + argc + 1;
  while (*auxiliary) auxiliary++;
#ifndef __x86_64__
  vsyscall = (void *)enter_by_int80;
  for (long *entry = auxiliary + 1; *entry; entry += 2) {
    if (entry[0] == 32 /* AT_SYSINFO */) vsyscall = (void *)entry[1];
  }
#endif
  program_path = argv[0];
  if (argc == 2 && same(argv[1], "exit")) syscall1(nr_exit, 0);
  if (argc < 3) obey_input();
  for (long i = 1; i + 1 < argc; i += 2) run(argv[i], parse(argv[i + 1]));
  if (syscall0(nr_getpid) == 1) {
    syscall4(nr_reboot, 0xfee1dead, 672274793, 0x4321fedc /* LINUX_REBOOT_CMD_POWER_OFF */, 0);
  }
  for (;;) syscall1(nr_exit, 0);
}

__asm__(".globl _start\n"
        "_start:\n"
#ifdef __x86_64__
        "  mov %rsp, %rdi\n"
        "  and $-16, %rsp\n"
        "  call start_c\n"
#else
        "  mov %esp, %eax\n"
        "  and $-16, %esp\n"
        "  sub $12, %esp\n"
        "  push %eax\n"
        "  call start_c\n"
#endif
);

// The compiler may call these for what is written as a loop or an assignment.
void *memcpy(void *to, const void *from, size_t count) {
  void *start = to;
  __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
  return start;
}

void *memset(void *to, int value, size_t count) {
  void *start = to;
  __asm__ volatile("rep stosb" : "+D"(to), "+c"(count) : "a"(value) : "memory");
  return start;
}
