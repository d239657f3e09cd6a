// Memory: pointer chasing, bytes and strings, sorting, copying and filling.
#include "kernel.h"

#ifndef __x86_64__
#pragma GCC target("sse2")
#endif

// 32 MiB, far beyond the reach of any TLB; a node every 256 bytes, so that each page holds 16.
enum { chase_bytes = 32 << 20, node_bytes = 256, nodes = chase_bytes / node_bytes };

struct node {
  struct node *next;
  u32 value;
};

static struct node *node_at(void *memory, u32 index) {
  return (struct node *)((u8 *)memory + (size_t)index * node_bytes);
}

/** Links all nodes into one cycle in random order [Sattolo 1986]. */
static void chase_prepare(void *memory) {
  for (u32 i = 0; i < nodes; i++) node_at(memory, i)->value = i;
  u32 random = 1;
  for (u32 i = nodes - 1; i > 0; i--) {
    u32 j = (u32)((u64)next_random(&random) * i >> 32);
    u32 kept = node_at(memory, i)->value;
    node_at(memory, i)->value = node_at(memory, j)->value;
    node_at(memory, j)->value = kept;
  }
  // So far a node's value names the node at its place in the order: nodes follow each other by it.
  u32 first = node_at(memory, 0)->value;
  for (u32 i = 0; i < nodes; i++) {
    u32 from = node_at(memory, i)->value;
    u32 to = i + 1 < nodes ? node_at(memory, i + 1)->value : first;
    node_at(memory, from)->next = node_at(memory, to);
  }
}

static u64 chase_pass(void *memory) {
  u64 sum = 0;
  const struct node *node = memory;
  for (u32 i = 0; i < 20000; i++) {
    sum += node->value;
    node = node->next;
  }
  return fold(sum, node->value);
}

enum { text_bytes = 32 << 10 };

/** Words of letters and digits, with lines; the last byte is the end. */
static void string_prepare(void *memory) {
  char *text = memory;
  u32 random = 99;
  for (u32 i = 0; i < text_bytes - 1; i++) {
    u32 r = next_random(&random) >> 8;
    text[i] = r % 7 == 0 ? ' ' : r % 61 == 0 ? '\n' : r % 5 == 0 ? '0' + r % 10 : 'a' + r % 26;
  }
  text[text_bytes - 1] = 0;
}

OPAQUE static u32 length(const char *text) {
  const char *end = text;
  while (*end) end++;
  return (u32)(end - text);
}

OPAQUE static const char *find(const char *text, const char *wanted) {
  for (; *text; text++) {
    u32 i = 0;
    while (wanted[i] && text[i] == wanted[i]) i++;
    if (!wanted[i]) return text;
  }
  return 0;
}

static u64 string_pass(void *memory) {
  const char *text = memory;
  char *copy = (char *)memory + text_bytes;
  u64 sum = length(text);
  u32 words = 0, lines = 0, number = 0, inside = 0;
  for (const char *at = text; *at; at++) {
    char c = *at;
    if (c == '\n') lines++;
    if (c == ' ' || c == '\n') {
      inside = 0;
      sum += number;
      number = 0;
    } else {
      if (!inside) words++;
      inside = 1;
      if (c >= '0' && c <= '9') number = number * 10 + (u32)(c - '0');
    }
  }
  u32 kept = 0;
  for (const char *at = text; *at; at++) {
    char c = *at;
    if (c >= 'a' && c <= 'z') c = (char)(c - 'a' + 'A');
    if (c != '0') copy[kept++] = c;
  }
  copy[kept] = 0;
  const char *found = find(copy, "QUARTZ");
  for (u32 i = 0; i < kept / 2; i++) {
    char c = copy[i];
    copy[i] = copy[kept - 1 - i];
    copy[kept - 1 - i] = c;
  }
  u32 hash = 5381;
  for (u32 i = 0; i < kept; i++) hash = hash * 33 + (u8)copy[i];
  sum = fold(fold(sum, words), fold(lines, hash));
  return fold(sum, found ? 1 : length(copy));
}

enum { sorted = 4096, records = 1024 };

struct record {
  u32 key, order;
};

static void quick_sort(u32 *from, u32 *to) {
  while (to - from > 12) {
    u32 pivot = from[(to - from) / 2];
    u32 *low = from, *high = to - 1;
    for (;;) {
      while (*low < pivot) low++;
      while (*high > pivot) high--;
      if (low >= high) break;
      u32 kept = *low;
      *low++ = *high;
      *high-- = kept;
    }
    quick_sort(from, high + 1);
    from = high + 1;
  }
  for (u32 *at = from + 1; at < to; at++) {
    u32 value = *at, *hole = at;
    for (; hole > from && hole[-1] > value; hole--) *hole = hole[-1];
    *hole = value;
  }
}

OPAQUE static int compare_records(const void *left, const void *right) {
  const struct record *a = left, *b = right;
  return a->key != b->key ? (a->key < b->key ? -1 : 1) : (a->order > b->order) - (a->order < b->order);
}

typedef int compare(const void *, const void *);

/** Heap sort, as a library's: it knows the elements only through the caller's comparison. */
OPAQUE static void heap_sort(struct record *all, u32 count, compare *order) {
  u32 left = count / 2, size = count;
  while (size > 1) {
    if (left > 0) left--;
    else {
      struct record kept = all[--size];
      all[size] = all[0];
      all[0] = kept;
    }
    for (u32 parent = left, child; (child = parent * 2 + 1) < size; parent = child) {
      if (child + 1 < size && order(&all[child], &all[child + 1]) < 0) child++;
      if (order(&all[parent], &all[child]) >= 0) break;
      struct record kept = all[parent];
      all[parent] = all[child];
      all[child] = kept;
    }
  }
}

static u64 sort_pass(void *memory) {
  u32 *values = memory;
  struct record *all = (struct record *)(values + sorted);
  u32 random = 42;
  for (u32 i = 0; i < sorted; i++) values[i] = next_random(&random);
  quick_sort(values, values + sorted);
  for (u32 i = 0; i < records; i++) all[i] = (struct record){next_random(&random) >> 22, i};
  heap_sort(all, records, compare_records);
  u64 sum = 0;
  for (u32 i = 0; i < sorted; i += 16) sum = fold(sum, values[i]);
  for (u32 i = 0; i < records; i += 4) sum = fold(sum, fold(all[i].key, all[i].order));
  return sum;
}

typedef u8 block __attribute__((vector_size(16), aligned(1), may_alias));

/** Copies as C libraries do where they use SSE2: by unaligned 16 bytes, the last ones overlapping. */
OPAQUE static void copy_by_sse(u8 *to, const u8 *from, size_t count) {
  block last = *(const block *)(from + count - 16);
  u8 *end = to + count - 16;
  for (; to + 48 < end; to += 64, from += 64) {
    block a = *(const block *)from, b = *(const block *)(from + 16);
    block c = *(const block *)(from + 32), d = *(const block *)(from + 48);
    *(block *)to = a, *(block *)(to + 16) = b, *(block *)(to + 32) = c, *(block *)(to + 48) = d;
  }
  for (; to < end; to += 16, from += 16) *(block *)to = *(const block *)from;
  *(block *)end = last;
}

OPAQUE static void fill_by_sse(u8 *to, u8 value, size_t count) {
  block filled = (block){} + value;
  u8 *end = to + count - 16;
  for (; to < end; to += 16) *(block *)to = filled;
  *(block *)end = filled;
}

OPAQUE static void copy_by_rep(u8 *to, const u8 *from, size_t count) {
  __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
}

OPAQUE static void fill_by_rep(u8 *to, u8 value, size_t count) {
  __asm__ volatile("rep stosb" : "+D"(to), "+c"(count) : "a"(value) : "memory");
}

enum { area_bytes = 128 << 10 };

/** Sizes and places as programs have them: mostly short, some long, rarely aligned. */
static inline u64 copy_and_fill(u8 *memory, void (*copy)(u8 *, const u8 *, size_t),
                                void (*fill)(u8 *, u8, size_t)) {
  u8 *from = memory, *to = memory + area_bytes;
  u32 random = 7;
  fill(to, 0, area_bytes);
  for (u32 i = 0; i < area_bytes; i += 64) from[i] = (u8)(i >> 6);
  for (u32 i = 0; i < 2000; i++) {
    u32 r = next_random(&random);
    u32 count = (r & 31) == 0 ? 8192 + (r >> 20) : 16 + (r >> 8 & 255);
    u32 at = (u32)((u64)next_random(&random) * (area_bytes - count) >> 32);
    if (r & 0x80) copy(to + at, from + (at ^ 0x15), count);
    else fill(to + at, (u8)r, count);
  }
  u64 sum = 0;
  for (u32 i = 0; i < area_bytes; i += 256) sum = fold(sum, to[i]);
  return sum;
}

static u64 copy_sse_pass(void *memory) {
  return copy_and_fill(memory, copy_by_sse, fill_by_sse);
}

static u64 copy_rep_pass(void *memory) {
  return copy_and_fill(memory, copy_by_rep, fill_by_rep);
}

const struct kernel memory_kernels[] = {
    {"chase", chase_bytes, chase_prepare, chase_pass, 0},
    {"string", text_bytes * 2, string_prepare, string_pass, 0},
    {"sort", sorted * 4 + records * 8, 0, sort_pass, 0},
    {"copy-sse", area_bytes * 2 + 64, 0, copy_sse_pass, 0},
    {"copy-rep", area_bytes * 2 + 64, 0, copy_rep_pass, 0},
    {0, 0, 0, 0, 0},
};
