/** A region as people read it: blocks, instructions, where control goes, which flags live how long. */
import type { Decoder, Insn } from '../isa/decode.js';
import { disassemble } from '../isa/disassemble.js';
import type { Entry } from '../isa/table.js';
import type { Region, RegionNode } from './region.js';

const ALL_FLAGS = 'OSZAPC';

export interface ListedInstruction {
  /** Linear, hexadecimal. */
  readonly address: string;
  readonly text: string;
  /** Of OSZAPC: those it writes (or leaves undefined), and those of them that something later reads. */
  readonly writes: string;
  readonly needed: string;
  /** Flags get the form that FLAG_RES and FLAG_AUX have here. */
  readonly materialised: boolean;
}

export interface ListedBlock {
  readonly number: number;
  readonly address: string;
  /** Calls inlined around it. */
  readonly depth: number;
  readonly loop: boolean;
  readonly flow: string;
  readonly instructions: readonly ListedInstruction[];
  /** Successors: a block's number, or undefined for an exit from the region. */
  readonly edges: readonly { readonly address: string; readonly block: number | undefined }[];
}

/**
 * The blocks of a region that was translated, in reverse post-order. `page` is the linear address of the entry's page; `materialised` has the
 * instructions (Insn) at which the translator put flags into their lazy form.
 */
export function listRegion(
  region: Region,
  decoder: Decoder,
  bytesOfPage: (place: number) => Uint8Array,
  page: bigint,
  materialised: ReadonlySet<Insn> = new Set(),
): ListedBlock[] {
  const nodes = blocksOf(region);
  const needs = neededFlags(nodes);
  const hex = (at: number) => BigInt.asUintN(64, page + BigInt(at)).toString(16);
  return nodes.map((node) => {
    let at = node.at;
    const bytes = bytesOfPage(node.page.place);
    const instructions = node.insns.map((insn, i): ListedInstruction => {
      const offset = at - node.page.delta * 4096;
      const { text } = disassemble(decoder, bytes, offset, insn.mode, page + BigInt(at));
      const writes = written(insn.entry);
      const needed = [...writes].filter((flag) => needs.get(node)![i]!.has(flag)).join('');
      const address = hex(at);
      at += insn.length;
      return { address, text, writes, needed, materialised: materialised.has(insn) };
    });
    const { order, isLoop, flow, context } = node;
    const edges = node.edges.map(({ at, to }) => ({ address: hex(at), block: to?.order }));
    const address = hex(node.at);
    return {
      number: order,
      address,
      depth: context.depth,
      loop: isLoop,
      flow,
      instructions,
      edges,
    };
  });
}

/** A line for each block, instruction and edge. */
export function regionText(blocks: readonly ListedBlock[]): string {
  const lines: string[] = [];
  for (const { number, address, depth, loop, flow, instructions, edges } of blocks) {
    const notes = `${loop ? ', a loop' : ''}${depth > 0 ? `, inlined ${depth} deep` : ''}`;
    lines.push(`block ${number} at ${address}${notes}`);
    for (const { address, text, writes, needed, materialised } of instructions) {
      const flags = writes === '' ? '' : `writes ${writes}, needed ${needed || 'none'}`;
      const made = materialised ? 'flags made' : '';
      const life = [flags, made].filter((part) => part !== '').join('; ');
      lines.push(`  ${address}  ${life === '' ? text : `${text.padEnd(40)} ; ${life}`}`);
    }
    const to = edges.map(({ address, block }) =>
      block === undefined ? `exit to ${address}` : `block ${block}`,
    );
    lines.push(`  ${flow} -> ${to.length === 0 ? 'wherever it leads' : to.join(', ')}`);
  }
  return lines.join('\n');
}

/** In their order, where the region was translated. */
export function blocksOf({ entry }: Region): RegionNode[] {
  const seen = new Set([entry]);
  for (const node of seen) for (const { to } of node.edges) if (to) seen.add(to);
  return [...seen].sort((a, b) => a.order - b.order);
}

function written({ options }: Entry): string {
  const all = `${options.writes ?? ''}${options.undefined ?? ''}`;
  return [...ALL_FLAGS].filter((flag) => all.includes(flag)).join('');
}

/** For each instruction the flags that are needed after it; outside the region all are. */
function neededFlags(nodes: readonly RegionNode[]): Map<RegionNode, Set<string>[]> {
  const before = new Map<RegionNode, Set<string>>(nodes.map((node) => [node, new Set()]));
  const after = new Map<RegionNode, Set<string>[]>();
  for (let changed = true; changed; ) {
    changed = false;
    for (const node of [...nodes].reverse()) {
      const { edges, insns } = node;
      const leaves = edges.length === 0 || edges.some(({ to }) => !to);
      const inside = edges.flatMap(({ to }) => [...(to ? before.get(to)! : [])]);
      let live = new Set(leaves ? ALL_FLAGS : inside);
      const list: Set<string>[] = [];
      for (let i = insns.length - 1; i >= 0; i--) {
        list[i] = live;
        const { entry } = insns[i]!;
        live = new Set(live);
        // A shift by 0 writes nothing.
        if (entry.family !== 'shifts') for (const flag of written(entry)) live.delete(flag);
        for (const flag of entry.options.reads ?? '') live.add(flag);
      }
      after.set(node, list);
      if (live.size > before.get(node)!.size) changed = true;
      before.set(node, live);
    }
  }
  return after;
}
