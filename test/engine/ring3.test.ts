import assert from 'node:assert/strict';
import test from 'node:test';
import type { Engine } from '#src/engine/engine.js';
import { Random } from '../isa/random.js';
import { engines, kvm } from './engines.js';
import { at, type Ending, Ring3Guest } from './ring3-guest.js';

const seed = Number(process.env.CHASSIS_FUZZ_SEED ?? 20_261_122);
/** How often each case is tried, with other registers, flags and data. */
const ROUNDS = process.env.CHASSIS_LONG === '1' ? 40 : 1;

function each(what: string, body: (engine: Engine) => void): void {
  for (const { name, skip, open } of engines) {
    test(`${name}: ${what}`, { skip }, async () => body(await open()));
  }
}

/** Where memory operands of the cases point. */
const places = [
  BigInt(at.data + 0x800),
  BigInt(at.data + 0xffd),
  BigInt(at.data + 0x1ffc),
  BigInt(at.absent),
  BigInt(at.absent - 3),
  BigInt(at.readonly + 0x10),
  BigInt(at.readonly - 2),
  BigInt(at.supervisor),
  BigInt(at.noCode - 1),
  0x8000_0000_0000n,
  // KVM of the software kind has the host's kernel in the upper half, and takes what begins just below
  // the hole for a page fault.
  ...(kvm.kind === 'hardware' ? [0x7fff_ffff_fff9n, 0xffff_8000_0000_0000n] : []),
];

/** User code by what it tries; RAX points at one of the places, the other registers are random. */
const tries: Record<string, readonly number[]> = {
  'mov rcx, [rax]': [0x48, 0x8b, 0x08],
  'mov [rax], rcx': [0x48, 0x89, 0x08],
  'add [rax], rcx': [0x48, 0x01, 0x08],
  'lock xadd [rax], ecx': [0xf0, 0x0f, 0xc1, 0x08],
  'xchg [rax], cx': [0x66, 0x87, 0x08],
  'cmpxchg [rbx+8], ecx': [0x0f, 0xb1, 0x4b, 0x08],
  'movups xmm1, [rax]': [0x0f, 0x10, 0x08],
  'movups [rax], xmm1': [0x0f, 0x11, 0x08],
  'movaps [rax], xmm1': [0x0f, 0x29, 0x08],
  'push rcx, with RSP at the place': [0x48, 0x89, 0xc4, 0x51],
  'pop rcx, with RSP at the place': [0x48, 0x89, 0xc4, 0x59],
  'call, with RSP at the place': [0x48, 0x89, 0xc4, 0xe8, 0, 0, 0, 0],
  'ret to the place': [0x48, 0xbc, 0x00, 0x08, 0x03, 0, 0, 0, 0, 0, 0x50, 0xc3],
  'jmp rax': [0xff, 0xe0],
  'call rax': [0xff, 0xd0],
  'enter and leave': [0x48, 0x89, 0xc4, 0xc8, 0x10, 0x00, 0x00, 0xc9],
  'mov rsi, rax; mov rdi, rax; movsq': [0x48, 0x89, 0xc6, 0x48, 0x89, 0xc7, 0x48, 0xa5],
  'rep stosd, up to 600': [0x48, 0x89, 0xc7, 0xb9, 0x58, 0x02, 0, 0, 0xf3, 0xab],
  'rep movsb, up to 40': [0x48, 0x89, 0xc6, 0xbf, 0, 0, 3, 0, 0xb9, 40, 0, 0, 0, 0xf3, 0xa4],
  'mov ds, cx': [0x8e, 0xd9],
  // KVM of the software kind emulates this one where it is misaligned.
  ...(kvm.kind === 'hardware' ? { 'fxsave64 [rax]': [0x48, 0x0f, 0xae, 0x00] } : {}),
};
/** Without a memory operand, each a fault of its own kind. */
const privileged: Record<string, readonly number[]> = {
  hlt: [0xf4],
  cli: [0xfa],
  sti: [0xfb],
  'in al, 0x80': [0xe4, 0x80],
  'out dx, eax': [0xef],
  'rep outsb': [0xf3, 0x6e],
  ud2: [0x0f, 0x0b],
  int3: [0xcc],
  'mov rax, cr0': [0x0f, 0x20, 0xc0],
  'mov cr3, rax': [0x0f, 0x22, 0xd8],
  'mov rax, dr7': [0x0f, 0x21, 0xf8],
  rdmsr: [0x0f, 0x32],
  wrmsr: [0x0f, 0x30],
  clts: [0x0f, 0x06],
  invlpg: [0x0f, 0x01, 0x38],
  lgdt: [0x0f, 0x01, 0x10],
  ltr: [0x0f, 0x00, 0xd9],
  swapgs: [0x0f, 0x01, 0xf8],
  'div by zero': [0x31, 0xc9, 0xf7, 0xf1],
  'idiv that overflows': [0x31, 0xc0, 0xba, 0, 0, 0, 0x80, 0x83, 0xc9, 0xff, 0xf7, 0xf9],
  'mov ss, 0': [0x31, 0xc9, 0x8e, 0xd1],
  'mov ds, beyond the GDT': [0xb9, 0x00, 0x10, 0, 0, 0x8e, 0xd9],
  'a reserved opcode': [0x06],
  'a far jump through a register': [0xff, 0xe8],
  'lock without memory': [0xf0, 0x01, 0xc8],
};

/** What both engines have to agree on. */
function outcome({ exit, rflags, ...rest }: Ending) {
  return { ...rest, rflags: rflags & 0x1_0cd5n, exit: exit.kind };
}

test('kvm is the oracle of the soft engine for ring 3: faults, error codes, addresses, what is left', {
  skip: kvm.problem ?? false,
}, async (t) => {
  t.diagnostic(`CHASSIS_FUZZ_SEED=${seed}`);
  const random = new Random(seed);
  const [soft, host] = await Promise.all(
    engines.map(async ({ open }) => new Ring3Guest(await open())),
  );
  let cases = 0;
  const agree = (what: string, code: readonly number[], rax: bigint) => {
    const gpr = Array.from({ length: 16 }, () => random.u64());
    gpr[0] = rax;
    gpr[3] = rax;
    gpr[4] = BigInt(at.data + 0x1800);
    const data = Uint8Array.from({ length: 0x2000 }, () => random.u32());
    const rflags = BigInt((random.u32() & 0xcd5) | 2) & ~0x200n & ~0x100n;
    // What does no harm runs into the HLT.
    const from = { gpr, rflags, data };
    const ours = outcome(soft!.run([...code, 0xf4], from));
    const theirs = outcome(host!.run([...code, 0xf4], from));
    assert.deepEqual(ours, theirs, `${what}, RAX ${rax.toString(16)}`);
    cases++;
  };
  for (let round = 0; round < ROUNDS; round++) {
    for (const [what, code] of Object.entries(tries)) {
      for (const place of places) agree(what, code, place);
      agree(what, code, random.u64());
    }
    for (const [what, code] of Object.entries(privileged)) agree(what, code, random.u64());
  }
  t.diagnostic(`${cases} cases`);
});

each('ring 3 reaches a port that it may, and the answer arrives', (engine) => {
  const guest = new Ring3Guest(engine);
  // in al, 0x60; out 0x61, al; hlt
  const first = guest.run([0xe4, 0x60, 0xe6, 0x61, 0xf4], { ports: true });
  const { exit } = first;
  assert.ok(exit.kind === 'io' && exit.direction === 'in' && exit.port === 0x60);
  exit.data[0] = 0x5a;
  const second = guest.rig.run();
  assert.ok(second.kind === 'io' && second.direction === 'out' && second.port === 0x61);
  assert.equal(second.data[0], 0x5a);
  const last = guest.ending(guest.rig.run());
  assert.equal(last.vector, 13);
  assert.equal(last.rip, BigInt(at.code + 4));
});

test('kvm: ring 3 runs at the speed of the host, whatever the kind of KVM', {
  skip: kvm.problem ?? false,
}, async (t) => {
  const guest = new Ring3Guest(await engines[1]!.open());
  const TURNS = 100_000_000;
  // mov ecx, 100000000; 1: dec ecx; jnz 1b; hlt
  const code = [0xb9, 0x00, 0xe1, 0xf5, 0x05, 0xff, 0xc9, 0x75, 0xfc, 0xf4];
  const before = process.cpuUsage();
  const { vector, gpr } = guest.run(code);
  const { user, system } = process.cpuUsage(before);
  assert.equal(vector, 13);
  assert.equal(gpr[1], 0n);
  const rate = (2 * TURNS) / (user + system);
  t.diagnostic(`${rate.toFixed(0)} million instructions a second`);
  assert.ok(rate > 500, `${rate} million instructions a second`);
});
