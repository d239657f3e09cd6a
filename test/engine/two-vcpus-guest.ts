/** What both vCPUs of two-vcpus-locks.test.ts run: 64-bit code at CPL 0, assembled by hand. */

export const ROUNDS = 10_000;
export const PINGS = 300;

export const CODE = 0x1_0000;
export const PING_HANDLER = 0x1_2000;
export const PONG_HANDLER = 0x1_2100;
/** Linear page of the local APIC. */
export const APIC = 0x1f_f000;

const PING = 0x41;
const PONG = 0x42;
export const handlers = { [PING]: PING_HANDLER, [PONG]: PONG_HANDLER };

/** Counters, each on cache lines of its own but where it is meant to cross them. */
export const at = {
  aligned: 0x2_0000,
  unaligned: 0x2_0043,
  lineCrossing: 0x2_00bd,
  pageCrossing: 0x2_0ffc,
  exchanged: 0x2_1ffe,
  sixteen: 0x2_2100,
  spinLock: 0x2_2200,
  guarded: 0x2_2240,
  tickets: 0x2_2280,
  ready: 0x2_22c0,
  done: 0x2_2300,
  pings: 0x2_2340,
  pongs: 0x2_2380,
} as const;
/** Low half of the 16-byte counter at the start: carries into the high half soon. */
export const SIXTEEN_START = 0xffff_ffff_ffff_ff00n;

const word = (n: number): number[] => [n, n >> 8, n >> 16, n >> 24].map((b) => b & 0xff);
/** An instruction with the absolute address of a counter: ModRM.rm = 4, SIB without registers. */
const op = (bytes: number[], reg: number, address: number): number[] => [
  ...bytes,
  (reg << 3) | 4,
  0x25,
  ...word(address),
];
const storeWord = (address: number, value: number): number[] => [
  ...op([0xc7], 0, address),
  ...word(value),
];
/** `jcc`/`jmp` back by all of `body` and itself. */
const loop = (body: number[], jump: number): number[] => [...body, jump, (-body.length - 2) & 0xff];

const RAX = 0;
const RCX = 1;
const RDX = 2;
const JNZ = 0x75;
const JMP = 0xeb;
const PAUSE = [0xf3, 0x90];

/** cmp dword [address], imm8, until equal. */
const waitFor = (address: number, value: number): number[] =>
  loop([...PAUSE, ...op([0x83], 7, address), value], JNZ);

const sendIpi = (to: number, vector: number): number[] => [
  ...storeWord(APIC + 0x310, to << 24),
  ...storeWord(APIC + 0x300, 0x4000 | vector),
];

const round: readonly number[] = [
  ...op([0xf0, 0xff], 0, at.aligned), // lock inc dword
  ...op([0xf0, 0x48, 0xff], 0, at.unaligned), // lock inc qword
  ...op([0xf0, 0x48, 0xff], 0, at.lineCrossing),
  ...op([0xf0, 0x48, 0xff], 0, at.pageCrossing),
  // mov eax,1; lock xadd [tickets],eax; add r12,rax: every value is seen once.
  ...[0xb8, 1, 0, 0, 0],
  ...op([0xf0, 0x0f, 0xc1], RAX, at.tickets),
  ...[0x49, 0x01, 0xc4],
  // mov eax,[m]; again: mov ecx,eax; inc ecx; lock cmpxchg [m],ecx; jnz again
  ...op([0x8b], RAX, at.exchanged),
  ...loop([0x89, 0xc1, 0xff, 0xc1, ...op([0xf0, 0x0f, 0xb1], RCX, at.exchanged)], JNZ),
  // mov rax,[m]; mov rdx,[m+8]; again: rcx:rbx = rdx:rax + 2:1; lock cmpxchg16b [m]; jnz again
  ...op([0x48, 0x8b], RAX, at.sixteen),
  ...op([0x48, 0x8b], RDX, at.sixteen + 8),
  ...loop(
    [
      ...[0x48, 0x89, 0xc3, 0x48, 0x89, 0xd1, 0x48, 0x83, 0xc3, 1, 0x48, 0x83, 0xd1, 2],
      ...op([0xf0, 0x48, 0x0f, 0xc7], 1, at.sixteen),
    ],
    JNZ,
  ),
  // A spin lock of XCHG, which is locked by itself: mov eax,1; xchg [lock],eax; test eax,eax; jz; pause
  ...loop([0xb8, 1, 0, 0, 0, ...op([0x87], RAX, at.spinLock), 0x85, 0xc0, 0x74, 4, ...PAUSE], JMP),
  ...op([0x48, 0xff], 0, at.guarded), // inc qword, guarded by the lock
  ...storeWord(at.spinLock, 0),
];

/** dec rsi; jnz back over `body`. */
function times(count: number, body: readonly number[]): number[] {
  const head = [0xbe, ...word(count)]; // mov esi,count
  const back = -(body.length + 2 + 6);
  return [...head, ...body, 0xff, 0xce, 0x0f, 0x85, ...word(back)];
}

/** The program of vCPU `index`: 0 sends PINGs when it has counted, 1 answers whatever it does. */
export function program(index: number): number[] {
  const start = [
    ...storeWord(APIC + 0xf0, 0x1ff), // SVR: enabled
    ...op([0xf0, 0xff], 0, at.ready),
    ...waitFor(at.ready, 2),
    0xfb, // sti
    ...times(ROUNDS, round),
  ];
  // inc ebx; send; until pongs == ebx: pause; cmp [pongs],ebx; jne
  const ping = [
    ...[0xff, 0xc3],
    ...sendIpi(1, PING),
    ...loop([...PAUSE, ...op([0x39], 3, at.pongs)], JNZ),
  ];
  const end = [...op([0xf0, 0xff], 0, at.done), 0xf4, JMP, 0xfd]; // hlt, for ever
  return index === 0 ? [...start, 0x31, 0xdb, ...times(PINGS, ping), ...end] : [...start, ...end];
}

/** Count, end of interrupt, and for a PING the answer. */
export function handler(vector: number): number[] {
  const counter = vector === PING ? at.pings : at.pongs;
  const answer = vector === PING ? sendIpi(0, PONG) : [];
  return [...op([0xf0, 0xff], 0, counter), ...storeWord(APIC + 0xb0, 0), ...answer, 0x48, 0xcf];
}
