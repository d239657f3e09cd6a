/**
 * Writes decoded blocks where the interpreter finds them (see record.ts). A block runs until an
 * instruction that always leaves it, the end of its page, bytes that are no instruction, or
 * MAX_BLOCK instructions.
 */
import { type CodeMode, type DecodeResult, Decoder, formOf, Insn } from '../isa/decode.js';
import { type FieldClass, fieldClass } from '../isa/operands.js';
import type { Entry } from '../isa/table.js';
import { flowOf } from '../jit/region.js';
import * as L from '../state/layout.js';
import { blockEntry, generationOf, targetsEntry } from './block-place.js';
import { HandlerIndex } from './handler-index.js';
import * as R from './record.js';

/** Kinds of blocks: added to a place times 16, with the mode. */
const BLOCK = 0;
const SINGLE = 4;
const CROSSING = 8;
/** For a second page that does not matter. */
const WHATEVER = -1;

/** Events are looked for between blocks: not too rarely. A record's `remaining` is one byte. */
const MAX_BLOCK = 64;
/**
 * What the interpreter imports to decode. `place` is the address of the first byte; each answers with
 * that of the first record, or 0 where bytes of the next page are needed.
 */
export interface BlockDecoder {
  decode_block(place: number, mode: number): number;
  decode_single(place: number, mode: number): number;
  decode_crossing(place: number, second: number, mode: number): number;
}

/** What is the same for all vCPUs: the table's decoder and handler numbers. */
export class DecodeTables {
  readonly decoder: Decoder;
  readonly handlers: HandlerIndex;
  readonly regClass: FieldClass[];
  readonly rmClass: FieldClass[];

  constructor(table: readonly Entry[]) {
    this.decoder = new Decoder(table);
    this.handlers = new HandlerIndex(table);
    this.regClass = table.map((entry) => fieldClass(entry, 'reg'));
    this.rmClass = table.map((entry) => fieldClass(entry, 'rm'));
  }
}

/**
 * @param buffer the VM's memory   @param cpu address of the vCPU's area
 * @param markCode the runtime's mark_code: these bytes are now decoded code
 */
export function createBlockDecoder(
  tables: DecodeTables,
  buffer: ArrayBufferLike,
  cpu: number,
  markCode: (place: number, length: number) => void,
): BlockDecoder {
  const bytes = new Uint8Array(buffer);
  const view = new DataView(buffer);
  const insn = new Insn();
  let arena = cpu + L.BLOCK_ARENA;

  function fieldOffset(kind: FieldClass, number: number, rex: number): number {
    switch (kind) {
      case 'gpr':
        return L.GPR + number * 8;
      case 'gpr8':
        // Without REX, 4 to 7 are AH CH DH BH. [SDM 2A 2.2.1.2]
        return number >= 4 && number < 8 && rex === 0
          ? L.GPR + (number - 4) * 8 + 1
          : L.GPR + number * 8;
      case 'xmm':
        return L.XMM + number * L.XMM_SIZE;
      case 'mmx':
        return L.X87 + (number & 7) * L.X87_SIZE;
      default:
        return number;
    }
  }

  /** Segment that an access goes through, as an offset in the vCPU's area. */
  function segmentOffset(): number {
    let { segment } = insn;
    if (insn.mode === 2 && segment !== L.FS && segment !== L.GS) {
      segment = segment === L.SS ? L.FLAT_SS : L.FLAT;
    }
    return L.SEGMENTS + segment * L.SEGMENT_SIZE;
  }

  function writeRecord(at: number, offset: number, handler: number): void {
    const { entry } = insn;
    view.setUint16(at + R.R_HANDLER, handler, true);
    view.setUint16(at + R.R_OFFSET, offset, true);
    bytes[at + R.R_LENGTH] = insn.length;
    bytes[at + R.R_SCALE] = insn.scale;
    bytes[at + R.R_ADDRESS_SHIFT] = 64 - insn.addressSize;
    view.setUint16(
      at + R.R_REG,
      fieldOffset(tables.regClass[entry.index]!, insn.reg, insn.rex),
      true,
    );
    view.setUint16(at + R.R_RM, fieldOffset(tables.rmClass[entry.index]!, insn.rm, insn.rex), true);
    let displacement = insn.displacement;
    let base: number = L.ZERO;
    if (insn.base === -2) {
      base = L.IP_BASE;
      displacement += offset + insn.length;
    } else if (insn.base >= 0) base = L.GPR + insn.base * 8;
    bytes[at + R.R_BASE] = base;
    bytes[at + R.R_INDEX] = insn.index >= 0 ? L.GPR + insn.index * 8 : L.ZERO;
    view.setUint16(at + R.R_SEGMENT, segmentOffset(), true);
    view.setInt32(at + R.R_IMM, insn.immLow, true);
    view.setInt32(at + R.R_IMM + 4, insn.immHigh, true);
    if (insn.vvvv >= 0) view.setUint16(at + R.R_VEX, L.GPR + insn.vvvv * 8, true);
    if (insn.memory) {
      view.setInt32(at + R.R_DISP, displacement, true);
      view.setInt32(at + R.R_DISP + 4, Math.floor(displacement / 0x1_0000_0000), true);
    } else {
      view.setInt32(at + R.R_IMM2, insn.imm2, true);
      view.setInt32(at + R.R_IMM2 + 4, 0, true);
    }
  }

  /** A record for what could not be decoded: raises #UD or #GP when it is reached. */
  function writeBad(at: number, offset: number, result: DecodeResult): void {
    bytes.fill(0, at, at + R.RECORD_SIZE);
    const handler = result === 'too-long' ? R.HANDLER_TOO_LONG : R.HANDLER_UD;
    view.setUint16(at + R.R_HANDLER, handler, true);
    view.setUint16(at + R.R_OFFSET, offset, true);
    bytes[at + R.R_LENGTH] = insn.length;
  }

  function writeEnd(at: number, offset: number): void {
    bytes.fill(0, at, at + R.RECORD_SIZE);
    view.setUint16(at + R.R_OFFSET, offset, true);
    bytes[at + R.R_REMAINING] = 255;
  }

  function handlerOfInsn(): number {
    const { entry, size, lock, rep } = insn;
    return tables.handlers.of({
      entry,
      size,
      form: formOf(insn),
      lock,
      rep: entry.options.rep ? rep : 0,
    });
  }

  /** Blocks by place, mode and kind; those of overwritten code stay until they are met again. */
  const blocks = new Map<number, number>();

  /** A block that was decoded before, if its bytes are the same; 0: none. `second`: its other page, or 0. */
  function known(key: number, place: number, second: number): number {
    const first = blocks.get(key);
    if (first === undefined) return 0;
    const header = first - R.RECORD_SIZE;
    if (view.getInt32(header + R.B_GENERATION, true) !== generationOf(view, place)) return 0;
    if (second === WHATEVER) return first;
    if (view.getUint32(header + R.B_SECOND, true) !== second) return 0;
    if (second === 0) return first;
    return view.getInt32(header + R.B_SECOND_GENERATION, true) === generationOf(view, second)
      ? first
      : 0;
  }

  /** Room for a block's header and records; where there is none, all blocks are forgotten. */
  function begin(key: number, place: number, second: number): number {
    if (arena + (MAX_BLOCK + 2) * R.RECORD_SIZE > cpu + L.BLOCK_ARENA_END) {
      bytes.fill(0, cpu + L.BLOCK_HASH, cpu + L.BLOCK_HASH + L.BLOCK_HASH_ENTRIES * R.H_SIZE);
      blocks.clear();
      arena = cpu + L.BLOCK_ARENA;
    }
    view.setInt32(arena + R.B_COUNT, 0, true);
    view.setInt32(arena + R.B_TARGETS, 0, true);
    view.setInt32(arena + R.B_GENERATION, generationOf(view, place), true);
    view.setUint32(arena + R.B_SECOND, second, true);
    view.setInt32(
      arena + R.B_SECOND_GENERATION,
      second === 0 ? 0 : generationOf(view, second),
      true,
    );
    const first = arena + R.RECORD_SIZE;
    blocks.set(key, first);
    return first;
  }

  /** A block of one instruction; bytes from `end` on are not there. */
  function single(
    first: number,
    from: Uint8Array,
    start: number,
    end: number,
    offset: number,
    mode: CodeMode,
  ): boolean {
    const result = tables.decoder.decode(from, start, end, mode, insn);
    if (result === 'more') return false;
    if (result === 'ok') writeRecord(first, offset, handlerOfInsn());
    else writeBad(first, offset, result);
    bytes[first + R.R_REMAINING] = 0;
    writeEnd(first + R.RECORD_SIZE, offset + insn.length);
    arena = first + 2 * R.RECORD_SIZE;
    return true;
  }

  function enterHash(place: number, mode: number, first: number): void {
    const entry = blockEntry(cpu, place);
    view.setInt32(entry + R.H_PLACE, place, true);
    view.setInt32(entry + R.H_MODE, mode, true);
    const generation = view.getInt32(first - R.RECORD_SIZE + R.B_GENERATION, true);
    view.setInt32(entry + R.H_GENERATION, generation, true);
    view.setInt32(entry + R.H_RECORD, first, true);
  }

  /** Where the targets of the branch just decoded are kept. */
  function targetsOf(place: number): number {
    const flow = flowOf(insn.entry);
    if (flow !== 'jump-indirect' && flow !== 'call-indirect') return 0;
    const entry = targetsEntry(cpu, place);
    if (view.getUint32(entry + R.T_PLACE, true) !== place) {
      bytes.fill(0, entry, entry + R.T_SIZE);
      view.setUint32(entry + R.T_PLACE, place, true);
    }
    return entry;
  }

  const crossing = new Uint8Array(16);

  return {
    decode_block(signedPlace, mode) {
      const place = signedPlace >>> 0;
      const key = place * 16 + BLOCK + mode;
      const found = known(key, place, 0);
      if (found !== 0) {
        enterHash(place, mode, found);
        return found;
      }
      const pageStart = place - (place % 0x1000);
      const pageEnd = pageStart + 0x1000;
      if (known(place * 16 + CROSSING + mode, place, WHATEVER) !== 0) return 0;
      // Marked before it is read: a store by another vCPU meanwhile is then seen.
      const first = begin(key, place, 0);
      markCode(place, Math.min(pageEnd - place, 15));
      let at = first;
      let next = place;
      let last = place;
      let count = 0;
      while (count < MAX_BLOCK && next < pageEnd) {
        const result = tables.decoder.decode(bytes, next, pageEnd, mode as CodeMode, insn);
        if (result !== 'ok') {
          if (count > 0) break;
          if (result === 'more') {
            blocks.delete(key);
            return 0;
          }
          writeBad(at, next - pageStart, result);
          count = 1;
          next += insn.length;
          at += R.RECORD_SIZE;
          break;
        }
        writeRecord(at, next - pageStart, handlerOfInsn());
        last = next;
        next += insn.length;
        at += R.RECORD_SIZE;
        count++;
        if (insn.entry.options.ends) {
          view.setInt32(first - R.RECORD_SIZE + R.B_TARGETS, targetsOf(last), true);
          break;
        }
      }
      writeEnd(at, next - pageStart);
      for (let i = 0; i < count; i++) {
        bytes[first + i * R.RECORD_SIZE + R.R_REMAINING] = count - 1 - i;
      }
      arena = at + R.RECORD_SIZE;
      markCode(place, next - place);
      enterHash(place, mode, first);
      return first;
    },

    decode_single(signedPlace, mode) {
      const place = signedPlace >>> 0;
      const key = place * 16 + SINGLE + mode;
      const found = known(key, place, 0);
      if (found !== 0) return found;
      const pageEnd = place - (place % 0x1000) + 0x1000;
      const first = begin(key, place, 0);
      markCode(place, Math.min(pageEnd - place, 15));
      if (single(first, bytes, place, pageEnd, place % 0x1000, mode as CodeMode)) return first;
      blocks.delete(key);
      return 0;
    },

    decode_crossing(signedPlace, signedSecond, mode) {
      const place = signedPlace >>> 0;
      const second = signedSecond >>> 0;
      const key = place * 16 + CROSSING + mode;
      const found = known(key, place, second);
      if (found !== 0) return found;
      const inFirst = 0x1000 - (place % 0x1000);
      const first = begin(key, place, second);
      markCode(place, Math.min(inFirst, 15));
      if (inFirst < 15) markCode(second, 15 - inFirst);
      crossing.set(bytes.subarray(place, place + Math.min(inFirst, 16)));
      if (inFirst < 16) crossing.set(bytes.subarray(second, second + 16 - inFirst), inFirst);
      single(first, crossing, 0, 16, place % 0x1000, mode as CodeMode);
      return first;
    },
  };
}
