import type { Device } from '../../device/device.js';
import { allOnes, type IoFace } from '../../device/io.js';
import type { PciFace } from '../../device/pci.js';
import { CONFIG_ADDRESS_PORT, CONFIG_DATA_PORT, configAddress } from './registers.js';
import { type PciHostState, pciHostCodec } from './state.js';

/** A function on bus 0. */
export interface PciSlot {
  /** 0 to 31. */
  readonly slot: number;
  /** 0 to 7; a slot without function 0 is not seen by drivers. */
  readonly function: number;
  readonly face: PciFace;
}

/** Who answers port accesses that a bridge lets through. */
export interface PortsBehind {
  read(offset: number, width: 1 | 2 | 4): number;
  write(offset: number, width: 1 | 2 | 4, value: number): void;
}

const nobody: PortsBehind = { read: (_offset, width) => allOnes(width), write() {} };

enum Region {
  Address = 0,
  Data = 1,
}

/**
 * Ports 0xCF8 and 0xCFC. Byte and word accesses to the address register pass through to the bus
 * [PMC 3.2.1]: the reset control register of the PIIX at 0xCF9 lives behind it (`behind`, offsets
 * counted from 0xCF8).
 */
export class PciHost implements Device<PciHostState>, IoFace {
  readonly name = 'pci-host';
  readonly io = this;
  readonly regions = [
    { name: 'config-address', space: 'port', sizeBytes: 4, base: CONFIG_ADDRESS_PORT },
    { name: 'config-data', space: 'port', sizeBytes: 4, base: CONFIG_DATA_PORT },
  ] as const;
  readonly stateVersion = 1;
  readonly stateCodec = pciHostCodec;

  // Fixed configuration: function at slot * 8 + function.
  private readonly functions: (PciFace | undefined)[] = new Array(256).fill(undefined);

  // Guest-visible state.
  private address = 0;

  constructor(
    slots: readonly PciSlot[],
    private readonly behind: PortsBehind = nobody,
  ) {
    for (const slot of slots) this.functions[slot.slot * 8 + slot.function] = slot.face;
  }

  read(region: number, offset: number, width: 1 | 2 | 4): number {
    if (offset < 0 || offset + width > 4) return allOnes(width);
    if (region === Region.Address) {
      return width === 4 ? this.address : this.behind.read(offset, width);
    }
    const face = region === Region.Data ? this.selected() : undefined;
    return face === undefined ? allOnes(width) : face.configRead(this.register(offset), width);
  }

  write(region: number, offset: number, width: 1 | 2 | 4, value: number): void {
    if (offset < 0 || offset + width > 4) return;
    if (region === Region.Address) {
      if (width === 4) this.address = (value & configAddress.writable) >>> 0;
      else this.behind.write(offset, width, value);
    } else if (region === Region.Data) {
      this.selected()?.configWrite(this.register(offset), width, value);
    }
  }

  private selected(): PciFace | undefined {
    if ((this.address & configAddress.enable) === 0) return undefined;
    if (((this.address >>> 16) & 0xff) !== 0) return undefined;
    return this.functions[(this.address >>> 8) & 0xff];
  }

  private register(offset: number): number {
    return (this.address & 0xfc) + offset;
  }

  reset(): void {
    this.address = 0;
  }

  save(): PciHostState {
    return { configAddress: this.address };
  }

  restore(state: PciHostState): void {
    this.address = state.configAddress;
  }
}
