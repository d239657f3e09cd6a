// What the kernel does for a program: system calls, page faults, processes, signals, pipes.
#include "kernel.h"

static u64 syscall_pass(void *memory) {
  (void)memory;
  u64 sum = 0;
  long first = syscall0(nr_getppid);
  for (u32 i = 0; i < 1000; i++) sum += syscall0(nr_getppid) == first ? i : 0;
  return fold(1, sum);
}

enum { page_bytes = 4096, faulted_pages = 256 };

static u64 fault_pass(void *memory) {
  (void)memory;
  u8 *pages = map_pages(faulted_pages * page_bytes, 0);
  u64 sum = 0;
  for (u32 i = 0; i < faulted_pages; i++) {
    sum = fold(sum, pages[i * page_bytes]);
    pages[i * page_bytes + i] = (u8)i;
  }
  for (u32 i = 0; i < faulted_pages; i++) sum = fold(sum, pages[i * page_bytes + i]);
  return fold(sum, (u64)syscall2(nr_munmap, pages, faulted_pages * page_bytes));
}

/** Waits for a child; its status word. */
static u32 wait_for(long child) {
  u32 status = ~0u;
  syscall4(nr_wait4, child, &status, 0, 0);
  return status;
}

static u64 fork_pass(void *memory) {
  (void)memory;
  u64 sum = 0;
  for (u32 i = 0; i < 4; i++) {
    long child = syscall0(nr_fork);
    if (child == 0) syscall1(nr_exit, i + 1);
    sum = fold(sum, wait_for(child));
  }
  return sum;
}

static u64 exec_pass(void *memory) {
  (void)memory;
  const char *argv[] = {program_path, "exit", 0}, *environment[] = {0};
  long child = syscall0(nr_fork);
  if (child == 0) {
    syscall3(nr_execve, program_path, argv, environment);
    syscall1(nr_exit, 99);
  }
  return fold(2, wait_for(child));
}

static volatile u32 caught;

static void on_signal(int number) {
  caught += (u32)number;
}

void return_from_signal(void);
#ifdef __x86_64__
__asm__("return_from_signal: mov $15, %eax; syscall");
#else
__asm__("return_from_signal: mov $173, %eax; int $0x80");
#endif

struct action {
  void (*handler)(int);
  unsigned long flags;
  void (*restorer)(void);
  u64 mask;
};

static void signal_prepare(void *memory) {
  (void)memory;
  // SA_RESTORER, and SA_SIGINFO for the frame that rt_sigreturn takes in 32-bit code.
  struct action action = {on_signal, 0x04000000 | 4, return_from_signal, 0};
  syscall4(nr_rt_sigaction, 10 /* SIGUSR1 */, &action, 0, 8);
}

static u64 signal_pass(void *memory) {
  (void)memory;
  caught = 0;
  long self = syscall0(nr_getpid);
  for (u32 i = 0; i < 200; i++) syscall2(nr_kill, self, 10);
  return fold(3, caught);
}

struct pipes {
  int to_child[2], from_child[2];
  long child;
};

/** One processor for both processes, as a guest with one has it. */
static void use_processors(u64 mask) {
  syscall3(nr_sched_setaffinity, 0, sizeof mask, &mask);
}

static void pipe_prepare(void *memory) {
  struct pipes *pipes = memory;
  u32 processor = 0;
  syscall3(nr_getcpu, &processor, 0, 0);
  use_processors((u64)1 << (processor & 63));
  syscall1(nr_pipe, pipes->to_child);
  syscall1(nr_pipe, pipes->from_child);
  pipes->child = syscall0(nr_fork);
  if (pipes->child) return;
  syscall1(nr_close, pipes->to_child[1]);
  u64 message[4];
  while (syscall3(nr_read, pipes->to_child[0], message, sizeof message) == sizeof message) {
    message[0] = fold(message[0], message[3]);
    syscall3(nr_write, pipes->from_child[1], message, sizeof message);
  }
  syscall1(nr_exit, 0);
}

static u64 pipe_pass(void *memory) {
  const struct pipes *pipes = memory;
  u64 message[4] = {1, 2, 3, 4};
  for (u32 i = 0; i < 100; i++) {
    message[3] = i;
    syscall3(nr_write, pipes->to_child[1], message, sizeof message);
    syscall3(nr_read, pipes->from_child[0], message, sizeof message);
  }
  return message[0];
}

static void pipe_finish(void *memory) {
  const struct pipes *pipes = memory;
  syscall1(nr_close, pipes->to_child[1]);
  wait_for(pipes->child);
  syscall1(nr_close, pipes->to_child[0]);
  syscall1(nr_close, pipes->from_child[0]);
  syscall1(nr_close, pipes->from_child[1]);
  use_processors(~(u64)0);
}

const struct kernel system_kernels[] = {
    {"syscall", 0, 0, syscall_pass, 0},
    {"page-fault", 0, 0, fault_pass, 0},
    {"fork", 0, 0, fork_pass, 0},
    {"exec", 0, 0, exec_pass, 0},
    {"signal", 0, signal_prepare, signal_pass, 0},
    {"pipe", page_bytes, pipe_prepare, pipe_pass, pipe_finish},
    {0, 0, 0, 0, 0},
};
