/**
 * Which guest code becomes one region: from its entry along direct branches and, where the callee is
 * small, into and out of calls. A region has one entry; code that is reached from elsewhere too
 * becomes a region of its own there. Blocks are told apart by address and by the calls that lead to
 * them, so that a return goes back to where its own call was.
 */
import { type CodeMode, type Decoder, Insn } from '../isa/decode.js';
import type { Entry } from '../isa/table.js';

/** Instructions in a region, in an inlined function, and calls inlined in each other. */
const MAX_INSTRUCTIONS = 200;
const MAX_INLINED = 48;
const MAX_INLINE_DEPTH = 3;
/** Targets further away are left to the run loop. */
const MAX_DISTANCE = 0x0200_0000;
const PAGE = 4096;

/** How an instruction passes control on. */
export type Flow =
  | 'next'
  | 'jcc'
  | 'jmp'
  | 'call'
  | 'ret'
  | 'jump-indirect'
  | 'call-indirect'
  | 'event'
  | 'leave'
  /** No instruction: where all indirect jumps of a function with several targets meet. */
  | 'switch';

/** Instructions that end a block for the interpreter only because interrupts may follow them. */
const EVENTS = new Set(['popf', 'sti']);

/** How control leaves an entry's instruction. */
export function flowOf(entry: Entry): Flow {
  const { family, mnemonic, options, operands } = entry;
  if (family === 'branches') {
    if (mnemonic === 'ret') return 'ret';
    const direct = operands[0]?.[0] === 'J';
    if (mnemonic === 'jmp') return direct ? 'jmp' : 'jump-indirect';
    if (mnemonic === 'call') return direct ? 'call' : 'call-indirect';
    return 'jcc';
  }
  if (EVENTS.has(mnemonic)) return 'event';
  // INTO is an interrupt or nothing.
  if (mnemonic === 'into') return 'leave';
  return options.ends ? 'leave' : 'next';
}

/** What the translator sees of the guest. Linear pages are counted from the entry's. */
export interface CodeView {
  /** The 4,096 bytes at the place of a page. */
  bytesOfPage(place: number): Uint8Array;
  readonly mode: CodeMode;
  /** Place of the first byte of a page that instructions may be fetched from without a page walk; 0: unknown. */
  placeOfPage(delta: number): number;
  generation(place: number): number;
  /** The interpreter has run a block that starts here. */
  wasRun(place: number): boolean;
  /** Where control went from the indirect branch at `place`, counted from the entry's page. */
  followed(place: number): number[];
  /** These bytes are looked at. */
  mark(place: number, length: number): void;
  /** Regions end before such an instruction, whatever else it is. */
  leaves?(entry: Entry): boolean;
}

/** A page that the region has code of. */
export interface RegionPage {
  /** Pages from the entry's, in linear addresses. */
  readonly delta: number;
  readonly place: number;
  readonly generation: number;
}

/** Where control goes: a node of the region, or out of it to an address relative to the entry's page. */
export interface Edge {
  readonly at: number;
  readonly to: RegionNode | null;
}

/** A basic block. */
export class RegionNode {
  /** Successors: of a conditional branch the target, then what follows it. */
  edges: Edge[] = [];
  /** Reverse post-order number, immediate dominator and the rest: set by structure.ts. */
  order = -1;
  dominator: RegionNode | null = null;
  readonly children: RegionNode[] = [];
  isLoop = false;
  isMerge = false;

  constructor(
    readonly context: Context,
    /** Bytes from the start of the entry's page. */
    readonly at: number,
    readonly page: RegionPage,
    readonly insns: readonly Insn[],
    readonly flow: Flow,
    /** Of an indirect branch: where it went. */
    readonly targets: readonly number[],
  ) {}
}

/** A function that was called in the region; the outermost is the region's own. */
export interface Context {
  readonly parent: Context | null;
  /** Where its return goes, relative to the entry's page. */
  readonly back: number;
  readonly entry: number;
  readonly depth: number;
  /** Straight lines of code, by the address of their first instruction. */
  readonly runs: Map<number, Run>;
  readonly leaders: Set<number>;
  /** Inlined callees, by the address of the call. */
  readonly callees: Map<number, Context[]>;
  nodes: Map<number, RegionNode>;
}

interface Run {
  readonly page: RegionPage;
  readonly insns: Insn[];
  readonly starts: number[];
  readonly flow: Flow;
  /** Address after the last instruction. */
  readonly end: number;
  /** Of an indirect branch: where it went. */
  readonly targets: readonly number[];
}

export interface Region {
  readonly entry: RegionNode;
  readonly pages: readonly RegionPage[];
  readonly instructions: number;
  /** Where the blocks of its own function begin. */
  readonly leaders: readonly number[];
}

/** Signed distance of a relative branch from its own end. */
function displacement(insn: Insn): number {
  return insn.immLow;
}

class Discovery {
  readonly pages = new Map<number, RegionPage | null>();
  instructions = 0;

  constructor(
    private readonly decoder: Decoder,
    private readonly code: CodeView,
  ) {}

  page(delta: number): RegionPage | null {
    let page = this.pages.get(delta);
    if (page === undefined) {
      const place = this.code.placeOfPage(delta);
      page = place === 0 ? null : { delta, place, generation: this.code.generation(place) };
      this.pages.set(delta, page);
    }
    return page;
  }

  context(parent: Context | null, entry: number, back: number): Context {
    const depth = parent ? parent.depth + 1 : 0;
    return {
      parent,
      back,
      entry,
      depth,
      runs: new Map(),
      leaders: new Set(),
      callees: new Map(),
      nodes: new Map(),
    };
  }

  /** Follows the code of one function. False: it has more than `limit` instructions. */
  explore(context: Context, limit: number): boolean {
    const work = [context.entry];
    let count = 0;
    while (work.length > 0) {
      const at = work.shift()!;
      if (context.leaders.has(at)) continue;
      if (at !== context.entry && count >= limit) {
        if (context.parent) return false;
        continue;
      }
      const inside = runWith(context, at);
      if (inside) {
        context.leaders.add(at);
        continue;
      }
      const run = this.run(at);
      if (!run) continue;
      context.leaders.add(at);
      context.runs.set(at, run);
      count += run.insns.length;
      this.instructions += run.insns.length;
      this.follow(context, run, work);
    }
    return !context.parent || count <= limit;
  }

  private follow(context: Context, run: Run, work: number[]): void {
    const last = run.insns.at(-1)!;
    const target = run.end + displacement(last);
    switch (run.flow) {
      case 'jcc':
        if (this.isLikely(target)) work.push(target);
        work.push(run.end);
        break;
      case 'jmp':
        work.push(target);
        break;
      case 'call':
        this.inline(context, run, target);
        work.push(run.end);
        break;
      case 'call-indirect':
        for (const to of run.targets) this.inline(context, run, to);
        work.push(run.end);
        break;
      case 'jump-indirect':
        work.push(...run.targets.filter((to) => this.isLikely(to)));
        break;
      case 'event':
      case 'next':
        work.push(run.end);
        break;
    }
  }

  /** Branches that were never taken stay exits. */
  private isLikely(at: number): boolean {
    const page = this.page(Math.floor(at / PAGE));
    return page !== null && this.code.wasRun(page.place + (at & (PAGE - 1)));
  }

  private inline(context: Context, run: Run, target: number): void {
    if (context.depth >= MAX_INLINE_DEPTH || !this.isLikely(target)) return;
    const before = this.instructions;
    if (before > MAX_INSTRUCTIONS) return;
    const callee = this.context(context, target, run.end);
    if (!this.explore(callee, MAX_INLINED)) this.instructions = before;
    else {
      const call = run.starts.at(-1)!;
      context.callees.set(call, [...(context.callees.get(call) ?? []), callee]);
    }
  }

  /** Decodes up to the end of the block or page; null: nothing here. */
  private run(at: number): Run | null {
    const { code } = this;
    if (Math.abs(at) > MAX_DISTANCE) return null;
    const page = this.page(Math.floor(at / PAGE));
    if (!page) return null;
    const first = at & (PAGE - 1);
    const bytes = code.bytesOfPage(page.place);
    const insns: Insn[] = [];
    const starts: number[] = [];
    let flow: Flow = 'next';
    let offset = first;
    while (offset < PAGE && insns.length < MAX_INSTRUCTIONS && flow === 'next') {
      code.mark(page.place + offset, Math.min(PAGE - offset, 15));
      const insn = new Insn();
      if (this.decoder.decode(bytes, offset, PAGE, code.mode, insn) !== 'ok') break;
      const next = flowOf(insn.entry);
      // A branch with operand size 16 cuts EIP.
      const cuts = next !== 'next' && next !== 'event' && insn.size === 16;
      if (next === 'leave' || cuts || code.leaves?.(insn.entry)) break;
      flow = next;
      insns.push(insn);
      starts.push(at + (offset - first));
      offset += insn.length;
    }
    if (insns.length === 0) return null;
    const indirect = flow === 'call-indirect' || flow === 'jump-indirect';
    const targets = indirect ? code.followed(page.place + (starts.at(-1)! & (PAGE - 1))) : [];
    return { page, insns, starts, flow, end: at + (offset - first), targets };
  }
}

/** The run that has an instruction which starts at this address. */
function runWith(context: Context, at: number): Run | undefined {
  for (const run of context.runs.values()) {
    if (at > run.starts[0]! && at < run.end && run.starts.includes(at)) return run;
  }
  return undefined;
}

/** Cuts runs at leaders. */
function cut(context: Context): void {
  for (const run of context.runs.values()) {
    let from = 0;
    for (let i = 1; i <= run.insns.length; i++) {
      const last = i === run.insns.length;
      if (!last && !context.leaders.has(run.starts[i]!)) continue;
      const at = run.starts[from]!;
      if (!context.nodes.has(at)) {
        const insns = run.insns.slice(from, i);
        const flow = last ? run.flow : 'next';
        const node = new RegionNode(context, at, run.page, insns, flow, run.targets);
        context.nodes.set(at, node);
      }
      from = i;
    }
  }
  for (const callee of [...context.callees.values()].flat()) cut(callee);
}

/** A page that is never the one of an instruction. */
const NO_PAGE: RegionPage = { delta: 0, place: 0, generation: 0 };

/** Edges from a call into what was inlined there. */
function inlinedAt(context: Context, at: number): Edge[] {
  const entries = (context.callees.get(at) ?? []).map((callee) => ({
    at: callee.entry,
    to: callee.nodes.get(callee.entry) ?? null,
  }));
  return entries.filter(({ to }) => to);
}

function connect(context: Context): void {
  const edge = (at: number): Edge => ({ at, to: context.nodes.get(at) ?? null });
  const meeting = new RegionNode(context, context.entry, NO_PAGE, [], 'switch', []);
  for (const node of context.nodes.values()) {
    const last = node.insns.at(-1)!;
    let end = node.at;
    for (const insn of node.insns) end += insn.length;
    const target = end + displacement(last);
    switch (node.flow) {
      case 'jcc':
        node.edges = [edge(target), edge(end)];
        break;
      case 'jmp':
        node.edges = [edge(target)];
        break;
      case 'call': {
        const [inlined] = inlinedAt(context, end - last.length);
        node.edges = [inlined ?? edge(end)];
        break;
      }
      case 'ret': {
        const { parent, back } = context;
        node.edges = parent ? [{ at: back, to: parent.nodes.get(back) ?? null }] : [];
        break;
      }
      case 'call-indirect': {
        node.edges = [...inlinedAt(context, end - last.length), edge(end)];
        break;
      }
      case 'jump-indirect':
        node.edges = node.targets.map(edge).filter(({ to }) => to);
        if (node.edges.length > 1) {
          for (const one of node.edges) {
            if (!meeting.edges.some(({ to }) => to === one.to)) meeting.edges.push(one);
          }
          node.edges = [{ at: node.at, to: meeting }];
        }
        break;
      default:
        node.edges = [edge(end)];
    }
  }
  for (const callee of [...context.callees.values()].flat()) connect(callee);
}

/** The region that begins `offset` bytes into the entry's page; null: its first instruction is not for us. */
export function discover(decoder: Decoder, code: CodeView, offset: number): Region | null {
  const discovery = new Discovery(decoder, code);
  const top = discovery.context(null, offset, -1);
  discovery.explore(top, MAX_INSTRUCTIONS);
  cut(top);
  connect(top);
  const entry = top.nodes.get(offset);
  if (!entry) return null;
  const pages = [...discovery.pages.values()].filter((page) => page !== null);
  const leaders = [...top.nodes.values()].map(({ at, page }) => page.place + (at & (PAGE - 1)));
  return { entry, pages, instructions: discovery.instructions, leaders };
}
