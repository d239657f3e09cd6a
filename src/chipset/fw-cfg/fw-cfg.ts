import { assert } from '../../base/assert.js';
import type { Device } from '../../device/device.js';
import type { Dma } from '../../device/dma.js';
import { allOnes, type IoFace } from '../../device/io.js';
import {
  DESCRIPTOR_SIZE,
  DMA_SIGNATURE,
  dmaControl,
  FILE_ENTRY_SIZE,
  FILE_NAME_OFFSET,
  FILE_NAME_SIZE,
  FW_CFG_DMA_PORT,
  FW_CFG_PORT,
  fwCfgKey,
  idBits,
  MAX_FILES,
  MAX_ZERO_FILL_BYTES,
  SIGNATURE,
  WRITE_CHANNEL,
} from './registers.js';
import { type FwCfgState, fwCfgCodec } from './state.js';

/** Bytes, or who makes them each time the item is selected. */
export type FwCfgContent = Uint8Array | (() => Uint8Array);

enum Region {
  Ports = 0,
  Dma = 1,
}

const nothing = new Uint8Array(0);
const zeros = new Uint8Array(0x1_0000);

function littleEndian(value: number, sizeBytes: number): Uint8Array {
  let rest = value;
  return Uint8Array.from({ length: sizeBytes }, () => {
    const byte = rest % 256;
    rest = Math.floor(rest / 256);
    return byte;
  });
}

function swap32(value: number): number {
  const swapped =
    (value << 24) | ((value & 0xff00) << 8) | ((value >>> 8) & 0xff00) | (value >>> 24);
  return swapped >>> 0;
}

/**
 * How the machine hands things to firmware: numbered items, and files listed in a directory. Reads a
 * byte at a time, or by DMA. Items are read-only.
 */
export class FwCfg implements Device<FwCfgState>, IoFace {
  readonly name = 'fw-cfg';
  readonly io = this;
  readonly regions = [
    { name: 'fw-cfg', space: 'port', sizeBytes: 2, base: FW_CFG_PORT, maxWidth: 2 },
    { name: 'fw-cfg-dma', space: 'port', sizeBytes: 8, base: FW_CFG_DMA_PORT },
  ] as const;
  readonly stateVersion = 1;
  readonly stateCodec = fwCfgCodec;

  // Fixed configuration.
  private readonly items = new Map<number, FwCfgContent>();
  private readonly files = new Map<string, FwCfgContent>();
  /** Files in order of their names, which is that of their keys. */
  private fileOrder: string[] | undefined;

  // Guest-visible state.
  private selected = 0;
  private content: Uint8Array;
  private offset = 0;
  private dmaHigh = 0;

  constructor(private readonly dma: Dma) {
    this.items.set(
      fwCfgKey.signature,
      Uint8Array.from(SIGNATURE, (c) => c.charCodeAt(0)),
    );
    this.items.set(fwCfgKey.id, littleEndian(idBits.traditional | idBits.dma, 4));
    this.items.set(fwCfgKey.fileDirectory, () => this.directory());
    this.content = this.lookup(this.selected);
  }

  /**
   * Adds or replaces an item by its key, or a file by its name (up to 55 ASCII characters). Files get
   * their keys from 0x20 on in order of their names, so add all before the guest looks.
   */
  add(keyOrName: number | string, content: FwCfgContent): void {
    if (typeof keyOrName === 'number') {
      this.items.set(keyOrName & ~WRITE_CHANNEL, content);
      return;
    }
    assert(keyOrName.length < FILE_NAME_SIZE, `fw_cfg file name too long: ${keyOrName}`);
    this.files.set(keyOrName, content);
    assert(this.files.size <= MAX_FILES, 'too many fw_cfg files');
    this.fileOrder = undefined;
  }

  /** Adds a little-endian number. */
  addNumber(keyOrName: number | string, value: number, sizeBytes: 1 | 2 | 4 | 8): void {
    this.add(keyOrName, littleEndian(value, sizeBytes));
  }

  private order(): string[] {
    this.fileOrder ??= [...this.files.keys()].sort();
    return this.fileOrder;
  }

  private directory(): Uint8Array {
    const names = this.order();
    const bytes = new Uint8Array(4 + names.length * FILE_ENTRY_SIZE);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, names.length);
    names.forEach((name, index) => {
      const at = 4 + index * FILE_ENTRY_SIZE;
      const key = fwCfgKey.firstFile + index;
      view.setUint32(at, this.lookup(key).length);
      view.setUint16(at + 4, key);
      for (let i = 0; i < name.length; i++) bytes[at + FILE_NAME_OFFSET + i] = name.charCodeAt(i);
    });
    return bytes;
  }

  /** What an absent key holds is nothing. */
  private lookup(selector: number): Uint8Array {
    const key = selector & ~WRITE_CHANNEL;
    const name = this.order()[key - fwCfgKey.firstFile];
    const content = name === undefined ? this.items.get(key) : this.files.get(name);
    if (content === undefined) return nothing;
    return typeof content === 'function' ? content() : content;
  }

  private select(key: number): void {
    this.selected = key;
    this.content = this.lookup(key);
    this.offset = 0;
  }

  /** Moves on in the item; past its end there is nothing to count. */
  private advance(count: number): void {
    this.offset = Math.min(this.offset + count, Math.max(this.offset, this.content.length));
  }

  read(region: number, offset: number, width: 1 | 2 | 4): number {
    if (region === Region.Ports && offset === 1 && width === 1) {
      const byte = this.content[this.offset] ?? 0;
      this.advance(1);
      return byte;
    }
    if (region !== Region.Dma || offset < 0 || offset + width > 8) return allOnes(width);
    if (width !== 4 || offset % 4 !== 0) return 0;
    return swap32(offset === 0 ? DMA_SIGNATURE.high : DMA_SIGNATURE.low);
  }

  write(region: number, offset: number, width: 1 | 2 | 4, value: number): void {
    if (region === Region.Ports) {
      if (offset === 0 && width === 2) this.select(value);
    } else if (region === Region.Dma && width === 4) {
      if (offset === 0) this.dmaHigh = swap32(value);
      else if (offset === 4) this.startDma(this.dmaHigh * 2 ** 32 + swap32(value));
    }
  }

  private startDma(descriptorGpa: number): void {
    this.dmaHigh = 0;
    const descriptor = new Uint8Array(DESCRIPTOR_SIZE);
    // Copied once: what the guest changes from here on does not matter.
    const found = this.dma.read(descriptorGpa, descriptor);
    const done = found && this.perform(new DataView(descriptor.buffer));
    const result = new Uint8Array(4);
    result[3] = done ? 0 : dmaControl.error;
    this.dma.write(descriptorGpa, result);
  }

  /** False on an error. */
  private perform(descriptor: DataView): boolean {
    const control = descriptor.getUint32(0);
    const length = descriptor.getUint32(4);
    const gpa = descriptor.getUint32(8) * 2 ** 32 + descriptor.getUint32(12);
    if ((control & dmaControl.select) !== 0) this.select(control >>> dmaControl.keyShift);
    if ((control & dmaControl.read) !== 0) return this.transfer(gpa, length);
    if ((control & dmaControl.write) !== 0) return false;
    if ((control & dmaControl.skip) !== 0) this.advance(length);
    return true;
  }

  private transfer(gpa: number, length: number): boolean {
    const piece = this.content.subarray(this.offset, this.offset + length);
    this.advance(length);
    if (piece.length > 0 && !this.dma.write(gpa, piece)) return false;
    const fill = length - piece.length;
    const end = piece.length + Math.min(fill, MAX_ZERO_FILL_BYTES);
    for (let at = piece.length; at < end; at += zeros.length) {
      const count = Math.min(zeros.length, end - at);
      if (!this.dma.write(gpa + at, zeros.subarray(0, count))) return false;
    }
    return fill <= MAX_ZERO_FILL_BYTES;
  }

  reset(): void {
    this.select(0);
    this.dmaHigh = 0;
  }

  save(): FwCfgState {
    return { selected: this.selected, offset: this.offset, dmaHigh: this.dmaHigh };
  }

  restore(state: FwCfgState): void {
    this.select(state.selected);
    this.offset = state.offset;
    this.dmaHigh = state.dmaHigh;
  }
}
