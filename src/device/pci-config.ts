import { bytes as bytesCodec, type Codec } from '../base/codec.js';
import { allOnes } from './io.js';
import { type IrqLine, noLine } from './irq.js';
import type { PciFace } from './pci.js';

/** Header offsets of a type 00h function. [PCI 6.1] */
export const pciHeader = {
  vendorId: 0x00,
  deviceId: 0x02,
  command: 0x04,
  status: 0x06,
  revision: 0x08,
  classCode: 0x09,
  cacheLineSize: 0x0c,
  latencyTimer: 0x0d,
  headerType: 0x0e,
  bar0: 0x10,
  subsystemVendorId: 0x2c,
  subsystemId: 0x2e,
  capabilities: 0x34,
  interruptLine: 0x3c,
  interruptPin: 0x3d,
} as const;

/** Command register bits. [PCI 6.2.2] */
export const pciCommand = {
  ioSpace: 1 << 0,
  memorySpace: 1 << 1,
  busMaster: 1 << 2,
  parityResponse: 1 << 6,
  serrEnable: 1 << 8,
  interruptDisable: 1 << 10,
} as const;

/** Status register bits. [PCI 6.2.3] */
export const pciStatus = {
  interrupt: 1 << 3,
  capabilities: 1 << 4,
  /** Parity, aborts, SERR#: a driver clears them by writing ones. */
  errors: 0xf900,
} as const;

const CONFIG_SIZE = 256;
const FIRST_CAPABILITY = 0x40;
/** Bases from here on are beyond any physical address (MAXPHYADDR is at most 52). */
const UNREACHABLE = 2 ** 52;

export interface PciBar {
  readonly index: 0 | 1 | 2 | 3 | 4 | 5;
  /** `mem64` takes the next index too. */
  readonly kind: 'io' | 'mem32' | 'mem64';
  /** A power of two: at least 4 for I/O, 16 for memory. */
  readonly sizeBytes: number;
  readonly prefetchable?: boolean;
}

export interface PciIdentity {
  readonly vendorId: number;
  readonly deviceId: number;
  readonly revision: number;
  /** Base class, subclass, programming interface: 0x060000 is a host bridge. */
  readonly classCode: number;
  readonly subsystemVendorId?: number;
  readonly subsystemId?: number;
  /** Functions other than 0 exist in this slot. */
  readonly multifunction?: boolean;
  /** 1 to 4 for INTA# to INTD#; 0 or absent for none. */
  readonly interruptPin?: number;
  readonly bars?: readonly PciBar[];
}

/** What a function does when its configuration space changes. */
export interface PciConfigEvents {
  /** A BAR now decodes at `base`, or nowhere. Called on a change only. */
  barMoved?(index: number, base: number | undefined): void;
  commandChanged?(command: number): void;
  /** After every guest write, masks applied: for registers of the chip's own. */
  written?(offset: number, width: 1 | 2 | 4): void;
}

/**
 * Configuration space of a function, as masks: each bit is fixed, written by the guest or cleared by
 * writing one to it. BARs size themselves because their low bits are fixed. [PCI 6.2.5.1]
 */
export class PciConfigSpace implements PciFace {
  // Fixed configuration.
  private readonly initial = new Uint8Array(CONFIG_SIZE);
  private readonly writable = new Uint8Array(CONFIG_SIZE);
  private readonly clearable = new Uint8Array(CONFIG_SIZE);
  /** Bits the device itself changes: neither fixed nor the guest's. */
  private readonly owned = new Uint8Array(CONFIG_SIZE);
  private readonly bars: readonly PciBar[];
  private lastCapability = 0;
  private nextCapability = FIRST_CAPABILITY;

  // Guest-visible state.
  private readonly data = new Uint8Array(CONFIG_SIZE);
  private readonly bases: (number | undefined)[] = [];
  private intx = false;

  constructor(
    identity: PciIdentity,
    // Wiring.
    private readonly events: PciConfigEvents = {},
    private readonly line: IrqLine = noLine,
  ) {
    this.bars = identity.bars ?? [];
    this.define(pciHeader.vendorId, 2, { reset: identity.vendorId });
    this.define(pciHeader.deviceId, 2, { reset: identity.deviceId });
    this.define(pciHeader.revision, 1, { reset: identity.revision });
    this.define(pciHeader.classCode, 1, { reset: identity.classCode & 0xff });
    this.define(pciHeader.classCode + 1, 2, { reset: identity.classCode >>> 8 });
    this.define(pciHeader.headerType, 1, { reset: identity.multifunction ? 0x80 : 0 });
    this.define(pciHeader.subsystemVendorId, 2, { reset: identity.subsystemVendorId ?? 0 });
    this.define(pciHeader.subsystemId, 2, { reset: identity.subsystemId ?? 0 });
    this.define(pciHeader.interruptPin, 1, { reset: identity.interruptPin ?? 0 });
    this.define(pciHeader.interruptLine, 1, { writable: 0xff });
    this.define(pciHeader.cacheLineSize, 1, { writable: 0xff });
    this.define(pciHeader.command, 2, {
      writable:
        pciCommand.ioSpace |
        pciCommand.memorySpace |
        pciCommand.busMaster |
        pciCommand.parityResponse |
        pciCommand.serrEnable |
        pciCommand.interruptDisable,
    });
    this.define(pciHeader.status, 2, {
      clearable: pciStatus.errors,
      owned: pciStatus.interrupt,
    });
    for (const bar of this.bars) this.defineBar(bar);
    this.data.set(this.initial);
  }

  private defineBar(bar: PciBar): void {
    const at = pciHeader.bar0 + 4 * bar.index;
    const memoryFlags = (bar.kind === 'mem64' ? 4 : 0) | (bar.prefetchable ? 8 : 0);
    const flags = bar.kind === 'io' ? 1 : memoryFlags;
    this.define(at, 4, { reset: flags, writable: -bar.sizeBytes & (bar.kind === 'io' ? ~3 : ~15) });
    if (bar.kind === 'mem64') {
      const high = bar.sizeBytes > 2 ** 32 ? -(bar.sizeBytes / 2 ** 32) : ~0;
      this.define(at + 4, 4, { writable: high });
    }
  }

  /** Gives a register its reset value and says which of its bits change and how. For set-up only. */
  define(
    offset: number,
    width: 1 | 2 | 4,
    bits: { reset?: number; writable?: number; clearable?: number; owned?: number },
  ): void {
    for (let i = 0; i < width; i++) {
      const shift = 8 * i;
      if (bits.reset !== undefined) this.initial[offset + i] = bits.reset >>> shift;
      if (bits.writable !== undefined) this.writable[offset + i] = bits.writable >>> shift;
      if (bits.clearable !== undefined) this.clearable[offset + i] = bits.clearable >>> shift;
      if (bits.owned !== undefined) this.owned[offset + i] = bits.owned >>> shift;
      this.data[offset + i] = this.initial[offset + i];
    }
  }

  /**
   * Appends a capability and says where it stands. `body` is what follows the two header bytes;
   * `writable` its write mask. [PCI 6.7]
   */
  addCapability(id: number, body: Uint8Array, writable?: Uint8Array): number {
    const at = this.nextCapability;
    this.nextCapability = (at + 2 + body.length + 3) & ~3;
    if (this.nextCapability > CONFIG_SIZE) throw new RangeError('configuration space is full');
    this.define(at, 1, { reset: id });
    this.define(at + 1, 1, { reset: 0 });
    for (let i = 0; i < body.length; i++) {
      this.define(at + 2 + i, 1, { reset: body[i], writable: writable?.[i] ?? 0 });
    }
    const link = this.lastCapability === 0 ? pciHeader.capabilities : this.lastCapability + 1;
    this.define(link, 1, { reset: at });
    this.define(pciHeader.status, 1, {
      reset: this.initial[pciHeader.status] | pciStatus.capabilities,
    });
    this.lastCapability = at;
    return at;
  }

  /** A register as the device sees it. */
  get(offset: number, width: 1 | 2 | 4): number {
    let value = 0;
    for (let i = width - 1; i >= 0; i--) value = value * 256 + this.data[offset + i];
    return value;
  }

  /** The device's own change of a register: masks do not hold, no event follows. */
  set(offset: number, width: 1 | 2 | 4, value: number): void {
    for (let i = 0; i < width; i++) this.data[offset + i] = value >>> (8 * i);
  }

  /** Changes which bits the guest may write: for registers that lock. */
  setWritable(offset: number, width: 1 | 2 | 4, mask: number): void {
    for (let i = 0; i < width; i++) this.writable[offset + i] = mask >>> (8 * i);
  }

  get command(): number {
    return this.get(pciHeader.command, 2);
  }

  /** Where BAR `index` decodes now, or undefined. */
  barBase(index: number): number | undefined {
    return this.bases[index];
  }

  /** Raises or drops INTx#; command bit 10 keeps it off the line. [PCI 6.2.2] */
  setIntx(high: boolean): void {
    this.intx = high;
    const status = this.get(pciHeader.status, 1) & ~pciStatus.interrupt;
    this.set(pciHeader.status, 1, status | (high ? pciStatus.interrupt : 0));
    this.driveIntx();
  }

  private driveIntx(): void {
    this.line.set(this.intx && (this.command & pciCommand.interruptDisable) === 0);
  }

  configRead(offset: number, width: 1 | 2 | 4): number {
    if (offset < 0 || offset + width > CONFIG_SIZE) return allOnes(width);
    return this.get(offset, width);
  }

  configWrite(offset: number, width: 1 | 2 | 4, value: number): void {
    if (offset < 0 || offset + width > CONFIG_SIZE) return;
    const commandBefore = this.command;
    for (let i = 0; i < width; i++) {
      const at = offset + i;
      const byte = (value >>> (8 * i)) & 0xff;
      const mask = this.writable[at];
      this.data[at] = ((this.data[at] & ~mask) | (byte & mask)) & ~(byte & this.clearable[at]);
    }
    this.announce(commandBefore);
    this.events.written?.(offset, width);
  }

  reset(): void {
    const commandBefore = this.command;
    this.data.set(this.initial);
    this.intx = false;
    this.announce(commandBefore);
  }

  private announce(commandBefore: number): void {
    const command = this.command;
    if (command !== commandBefore) {
      this.driveIntx();
      this.events.commandChanged?.(command);
    }
    for (const bar of this.bars) {
      const base = this.decodedBase(bar, command);
      if (base === this.bases[bar.index]) continue;
      this.bases[bar.index] = base;
      this.events.barMoved?.(bar.index, base);
    }
  }

  private decodedBase(bar: PciBar, command: number): number | undefined {
    const space = bar.kind === 'io' ? pciCommand.ioSpace : pciCommand.memorySpace;
    if ((command & space) === 0) return undefined;
    const at = pciHeader.bar0 + 4 * bar.index;
    const low = this.get(at, 4);
    // Base 0 is an unset BAR, and all ones is one being sized.
    if (bar.kind === 'io') {
      const base = (low & ~3) >>> 0;
      return base === 0 || base + bar.sizeBytes > 0x1_0000 ? undefined : base;
    }
    const high = bar.kind === 'mem64' ? this.get(at + 4, 4) : 0;
    const base = ((low & ~15) >>> 0) + high * 2 ** 32;
    const limit = bar.kind === 'mem64' ? UNREACHABLE : 2 ** 32 - 1;
    return base === 0 || base + bar.sizeBytes > limit ? undefined : base;
  }

  /** All 256 bytes; decoding refuses bytes that change what this function fixes. */
  readonly codec: Codec<Uint8Array> = {
    encode: (writer, value) => bytesCodec(CONFIG_SIZE).encode(writer, value),
    decode: (reader) => {
      const found = bytesCodec(CONFIG_SIZE).decode(reader);
      for (let i = 0; i < CONFIG_SIZE; i++) {
        const fixed = ~(this.writable[i] | this.clearable[i] | this.owned[i]) & 0xff;
        if (((found[i] ^ this.initial[i]) & fixed) !== 0) {
          const hex = (value: number) => `0x${value.toString(16)}`;
          reader.fail(`${hex(found[i])} at ${hex(i)}`, `${hex(this.initial[i])} in its fixed bits`);
        }
      }
      return found;
    },
  };

  save(): Uint8Array {
    return this.data.slice();
  }

  /** Takes bytes that {@link codec} decoded; tells of every change and drives the line. */
  restore(data: Uint8Array): void {
    const commandBefore = this.command;
    this.data.set(data);
    this.intx = (this.get(pciHeader.status, 1) & pciStatus.interrupt) !== 0;
    this.announce(commandBefore);
    this.driveIntx();
  }
}
