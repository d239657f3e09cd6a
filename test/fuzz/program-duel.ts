/**
 * Runs a program on two engines: the first as it likes, the second by the interpreter to exactly where
 * the first stopped. There both must be the same; an interrupt may come to both.
 */

import { Decoder } from '#src/cpu/isa/decode.js';
import { disassemble } from '#src/cpu/isa/disassemble.js';
import { instructionTable } from '#src/cpu/isa/index.js';
import type { VcpuRecord } from '#src/engine/records.js';
import { Random } from '../isa/random.js';
import { codeMode } from './decode-length.js';
import { HANDLERS, PAGE_TABLE, VARS } from './program-layout.js';
import type { Program, ProgramVm } from './program-vm.js';

/** No block of the interpreter is longer: how far it may run past a budget. */
const LONGEST_BLOCK = 64;
/** Budgets that end within a fault's delivery, in a row, before that is a difference. */
const MOST_RETRIES = 40;
const STUBS_END = HANDLERS + 0x400;
const SHOWN = 40;
const decoder = new Decoder(instructionTable);

/** An interrupt, and the count it came at. */
interface Sent {
  readonly at: number;
  readonly vector: number;
}

/** Ends a duel after this run of the first, which gets this budget. */
interface Cut {
  readonly run: number;
  readonly budget: number;
}

export interface DuelResult {
  readonly retired: number;
  readonly stops: number;
  readonly events: number;
  /** How it ended. */
  readonly end: string;
  readonly difference: string | null;
  /** The run of the first that ended it. */
  readonly last: Cut;
}

/** Two new VMs: the one to be checked, and the interpreter. */
export type OpenPair = () => [ProgramVm, ProgramVm];

/** The difference of a duel after the smallest last budget that shows it, on new VMs. */
export function narrowed(program: Program, { last }: DuelResult, open: OpenPair): DuelResult {
  const play = (budget: number): DuelResult =>
    duel(program, ...open(), Number.POSITIVE_INFINITY, { run: last.run, budget });
  let [low, high] = [1, last.budget];
  let found = play(high);
  while (low < high) {
    const middle = (low + high) >> 1;
    const tried = play(middle);
    if (tried.difference === null) low = middle + 1;
    else {
      found = tried;
      high = middle;
    }
  }
  return found;
}

export function duel(
  program: Program,
  first: ProgramVm,
  second: ProgramVm,
  instructions: number,
  cut?: Cut,
): DuelResult {
  first.load(program);
  second.load(program);
  const random = new Random(Math.imul(program.seed + 3, 0x27d4_eb2f));
  let stops = 0;
  let retries = 0;
  let end = 'budget';
  let difference: string | null = null;
  const sent: Sent[] = [];
  let last = { run: -1, budget: 0 };
  // Where both were found the same last.
  let same = 0;
  while (first.retired < instructions && last.run !== cut?.run) {
    const drawn = retries > 0 ? 1 : 1 + budgetOf(random);
    const run = last.run + 1;
    last = { run, budget: run === cut?.run ? cut.budget : drawn };
    const before = first.retired;
    const { kind, ...more } = first.run(last.budget);
    if (kind === 'intr' && first.retired === before) {
      // Nothing but faults, for as long as a run may take.
      end = 'stuck';
      break;
    }
    const there = follow(second, first.retired, kind);
    if (kind === 'internal-error') difference = Object.values(more).join(' ');
    else if (there !== 'there')
      difference = `${kind} at ${first.rip.toString(16)}; second ${there}`;
    else if (kind === 'intr' && isBetween(first, second) && retries++ < MOST_RETRIES) continue;
    else difference = compare(first, second, kind !== 'intr');
    if (difference !== null || kind !== 'intr') {
      end = kind;
      break;
    }
    retries = 0;
    stops++;
    same = first.retired;
    if (random.chance(3)) {
      const vector = 0x30 + random.below(8);
      sent.push({ at: same, vector });
      first.interrupt(vector);
      second.interrupt(vector);
    }
  }
  if (difference !== null) {
    const lines = trace(program, second, sent, same, first.retired);
    difference += `\n  retired ${same} to ${first.retired}\n${lines}`;
  }
  const events = new DataView(first.ram.buffer, first.ram.byteOffset).getUint32(VARS.logged, true);
  return { retired: first.retired, stops, events, end, difference, last };
}

function budgetOf(random: Random): number {
  return random.below(random.pick([40, 500, 5000, 5000, 20_000]));
}

/** Takes `vm` to exactly this count, and on to the exit that the other came to there. */
function follow(vm: ProgramVm, target: number, ending = 'intr'): string {
  if (ending !== 'intr' && ending !== 'internal-error') {
    const { kind } = vm.run(target - vm.retired + 1000);
    return kind === ending && vm.retired === target ? 'there' : `${kind} after ${vm.retired}`;
  }
  while (target - vm.retired > LONGEST_BLOCK) {
    const { kind } = vm.run(target - vm.retired - LONGEST_BLOCK);
    if (kind !== 'intr') return `left with ${kind} after ${vm.retired}`;
  }
  while (vm.retired < target) {
    const { kind } = vm.step();
    if (kind !== 'intr') return `left with ${kind} after ${vm.retired}`;
  }
  // A fault's delivery ends single steps: the handler's first instructions came at once.
  return vm.retired === target ? 'there' : 'past';
}

/** A fault delivered but no instruction of its handler retired, or a repeated one half done. */
function isBetween(first: ProgramVm, second: ProgramVm): boolean {
  const { rip } = first;
  if (rip !== second.rip) return isInStub(first);
  const counts = [first, second].map((vm) => vm.vcpu.getRecord().registers.gpr[1]);
  return counts[0] !== counts[1] && /^rep|^movs|^stos/.test(lineAt(first, rip).text);
}

const isInStub = ({ rip }: ProgramVm): boolean => rip >= HANDLERS && rip < STUBS_END;

function lineAt(vm: ProgramVm, rip: number): { length: number; text: string } {
  const mode = codeMode(vm.program.mode.width);
  return disassemble(decoder, vm.ram, rip & 0xffff, mode, BigInt(rip));
}

/**
 * What differs, with both values; null: nothing. Before the end, a page may have been looked up for an
 * instruction that is still to be run.
 */
function compare(first: ProgramVm, second: ProgramVm, ended: boolean): string | null {
  const found: string[] = [];
  if (first.retired !== second.retired) {
    found.push(`retired: ${first.retired}, ${second.retired}`);
  }
  const [mine, theirs] = [first, second].map((vm) => describe(vm.vcpu.getRecord()));
  for (const [name, value] of mine!) {
    const other = theirs!.get(name);
    if (value !== other) found.push(`${name}: ${value}, ${other}`);
  }
  if (Buffer.compare(first.ram, second.ram) !== 0) {
    for (let at = 0; at < first.ram.length && found.length < SHOWN; at++) {
      const [a, b] = [first.ram[at]!, second.ram[at]!];
      const lookedUp =
        !ended && at >= PAGE_TABLE && at < PAGE_TABLE + 0x1000 && ((a ^ b) & ~0x60) === 0;
      if (a !== b && !lookedUp)
        found.push(`byte ${at.toString(16)}: ${a.toString(16)}, ${b.toString(16)}`);
    }
  }
  if (ended) {
    const [log, other] = [first, second].map((vm) => vm.vm.dirtyPages(0).join(' '));
    if (log !== other) found.push(`dirty pages: ${log}; ${other}`);
  }
  if (found.length === 0) return null;
  const all = [...theirs!].map(([name, value]) => `${name}=${value}`).join(' ');
  return `${found.slice(0, SHOWN).join('\n  ')}\n  the second: ${all}`;
}

const REGISTERS = 'rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15'.split(' ');
const SEGMENTS = ['es', 'cs', 'ss', 'ds', 'fs', 'gs', 'ldtr', 'tr'];
/** RF and shadows stand elsewhere while an instruction is about to run alone. */
const RF = 0x1_0000n;

function describe(record: VcpuRecord): Map<string, string> {
  const { registers, system, xsave, msrs, events } = record;
  const all = new Map<string, string>();
  const hex = (name: string, n: bigint | number): unknown => all.set(name, n.toString(16));
  registers.gpr.forEach((n, i) => {
    hex(REGISTERS[i]!, n);
  });
  hex('rip', registers.rip);
  hex('flags', registers.rflags & ~RF);
  system.segments.forEach(({ selector, attributes, unusable, limit, base }, i) => {
    all.set(SEGMENTS[i]!, [selector, attributes, unusable, limit, base].join(' '));
  });
  const { cr0, cr2, cr3, cr4, cr8, efer, dr, dr6, dr7, gdtr, idtr } = system;
  for (const [name, n] of Object.entries({ cr0, cr2, cr3, cr4, cr8, efer, dr6, dr7 })) hex(name, n);
  all.set('dr', dr.join(' '));
  all.set('tables', [gdtr, idtr].map(({ base, limit }) => `${base} ${limit}`).join(' '));
  for (let at = 0; at < 416; at += 16) {
    const name = at < 32 ? `x87+${at}` : at < 160 ? `st${(at - 32) / 16}` : `xmm${(at - 160) / 16}`;
    all.set(name, Buffer.from(xsave.subarray(at, at + 16)).toString('hex'));
  }
  for (const { index, value } of msrs) hex(`msr ${index.toString(16)}`, value);
  const { exception, nmiPending, nmiBlocked, activity } = events;
  all.set('exception', exception.pending ? String(exception.vector) : 'none');
  all.set('events', [nmiPending, nmiBlocked, activity].join(' '));
  return all;
}

/** What the second, stepping, runs between two counts. */
function trace(
  program: Program,
  vm: ProgramVm,
  sent: readonly Sent[],
  from: number,
  to: number,
): string {
  vm.load(program);
  for (const { at, vector } of sent) {
    follow(vm, at);
    vm.interrupt(vector);
  }
  follow(vm, from);
  const lines: string[] = [];
  while (vm.retired < to + 2) {
    const { rip } = vm;
    lines.push(`${String(vm.retired).padStart(8)} ${rip.toString(16)}  ${lineAt(vm, rip).text}`);
    if (lines.length > 4 * SHOWN) lines.shift();
    if (vm.step().kind !== 'intr') break;
  }
  return lines.slice(-4 * SHOWN).join('\n');
}
