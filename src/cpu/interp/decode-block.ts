/**
 * Writes decoded blocks where the interpreter finds them (see record.ts). A block runs until an
 * instruction that always leaves it, the end of its page, bytes that are no instruction, or
 * MAX_BLOCK instructions.
 */
import { type CodeMode, type DecodeResult, Decoder, formOf, Insn } from '../isa/decode.js';
import { type FieldClass, fieldClass } from '../isa/operands.js';
import type { Entry } from '../isa/table.js';
import * as L from '../state/layout.js';
import { HandlerIndex } from './handler-index.js';
import * as R from './record.js';

/** Events are looked for between blocks: not too rarely. A record's `remaining` is one byte. */
const MAX_BLOCK = 64;
/** Records of single instructions, with the one that ends them, stand at the arena's start. */
const ARENA_FIRST = L.BLOCK_ARENA + 2 * R.RECORD_SIZE;

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
  let arena = cpu + ARENA_FIRST;

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

  /** One instruction into the arena's first records; bytes from `end` on are not there. */
  function single(
    from: Uint8Array,
    start: number,
    end: number,
    offset: number,
    mode: CodeMode,
  ): number {
    const at = cpu + L.BLOCK_ARENA;
    const result = tables.decoder.decode(from, start, end, mode, insn);
    if (result === 'more') return 0;
    if (result === 'ok') writeRecord(at, offset, handlerOfInsn());
    else writeBad(at, offset, result);
    bytes[at + R.R_REMAINING] = 0;
    writeEnd(at + R.RECORD_SIZE, offset + insn.length);
    return at;
  }

  const crossing = new Uint8Array(16);

  return {
    decode_block(signedPlace, mode) {
      const place = signedPlace >>> 0;
      if (arena + (MAX_BLOCK + 2) * R.RECORD_SIZE > cpu + L.BLOCK_ARENA_END) {
        bytes.fill(0, cpu + L.BLOCK_HASH, cpu + L.BLOCK_HASH + L.BLOCK_HASH_ENTRIES * R.H_SIZE);
        arena = cpu + ARENA_FIRST;
      }
      const pageEnd = (place & ~0xfff) + 0x1000 + (place >= 0x8000_0000 ? 0x1_0000_0000 : 0);
      const pageStart = pageEnd - 0x1000;
      const generationAt = L.CODE_PAGES + (pageStart / 0x1000) * L.CODE_PAGE_SIZE;
      const generation = view.getInt32(generationAt, true);
      // Marked before it is read: a store by another vCPU meanwhile is then seen.
      markCode(place, Math.min(pageEnd - place, 15));
      const first = arena + R.RECORD_SIZE;
      view.setInt32(arena + R.B_COUNT, 0, true);
      let at = first;
      let next = place;
      let count = 0;
      while (count < MAX_BLOCK && next < pageEnd) {
        const result = tables.decoder.decode(bytes, next, pageEnd, mode as CodeMode, insn);
        if (result !== 'ok') {
          if (count > 0) break;
          if (result === 'more') return 0;
          writeBad(at, next - pageStart, result);
          count = 1;
          next += insn.length;
          at += R.RECORD_SIZE;
          break;
        }
        writeRecord(at, next - pageStart, handlerOfInsn());
        next += insn.length;
        at += R.RECORD_SIZE;
        count++;
        if (insn.entry.options.ends) break;
      }
      writeEnd(at, next - pageStart);
      for (let i = 0; i < count; i++) {
        bytes[first + i * R.RECORD_SIZE + R.R_REMAINING] = count - 1 - i;
      }
      arena = at + R.RECORD_SIZE;
      markCode(place, next - place);
      const hash = (place ^ (place >>> 11)) & (L.BLOCK_HASH_ENTRIES - 1);
      const entry = cpu + L.BLOCK_HASH + hash * R.H_SIZE;
      view.setInt32(entry + R.H_PLACE, place, true);
      view.setInt32(entry + R.H_MODE, mode, true);
      view.setInt32(entry + R.H_GENERATION, generation, true);
      view.setInt32(entry + R.H_RECORD, first, true);
      return first;
    },

    decode_single(signedPlace, mode) {
      const place = signedPlace >>> 0;
      const pageEnd = place - (place % 0x1000) + 0x1000;
      return single(bytes, place, pageEnd, place % 0x1000, mode as CodeMode);
    },

    decode_crossing(signedPlace, signedSecond, mode) {
      const place = signedPlace >>> 0;
      const second = signedSecond >>> 0;
      const inFirst = 0x1000 - (place % 0x1000);
      crossing.set(bytes.subarray(place, place + Math.min(inFirst, 16)));
      if (inFirst < 16) crossing.set(bytes.subarray(second, second + 16 - inFirst), inFirst);
      return single(crossing, 0, 16, place % 0x1000, mode as CodeMode);
    },
  };
}
