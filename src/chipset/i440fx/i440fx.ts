import type { Device } from '../../device/device.js';
import { PciConfigSpace, pciHeader } from '../../device/pci-config.js';
import {
  identity,
  PAM_COUNT,
  PAM_WRITABLE,
  PAM0,
  PAM0_WRITABLE,
  PCICMD_RESET,
  PCISTS_RESET,
  pam,
  pamSegments,
  plainRegisters,
  SMRAM,
  smram,
} from './registers.js';
import { type I440fxState, i440fxCodec } from './state.js';

/** Where reads and writes of a part of 0xC0000-0xFFFFF go: RAM, or PCI, where the ROMs are. */
export interface ShadowSegment {
  readonly base: number;
  readonly sizeBytes: number;
  readonly readRam: boolean;
  readonly writeRam: boolean;
}

/** Who sees RAM at 0xA0000-0xBFFFF; the others see PCI there, where VGA is. */
export interface SmramWindow {
  readonly everybody: boolean;
  readonly smmCode: boolean;
  readonly smmData: boolean;
}

export interface MemoryMap {
  /** 13 segments in address order, together 0xC0000-0xFFFFF. */
  readonly segments: readonly ShadowSegment[];
  readonly smram: SmramWindow;
}

const smramWritable = smram.enable | smram.close;

/** 82441FX host bridge: device 0 of bus 0. What matters of it is what memory looks like below 1 MiB. */
export class I440fx implements Device<I440fxState> {
  readonly name = 'i440fx';
  readonly pci: PciConfigSpace;
  readonly stateVersion = 1;
  readonly stateCodec;

  constructor(
    // Wiring: told on every reset, restore and change of PAM or SMRAM.
    private readonly onMemoryMap: (map: MemoryMap) => void,
  ) {
    this.pci = new PciConfigSpace(identity, {
      written: (offset, width) => this.written(offset, width),
    });
    this.pci.define(pciHeader.command, 2, { reset: PCICMD_RESET, writable: 0x0140 });
    this.pci.define(pciHeader.status, 2, { reset: PCISTS_RESET, clearable: 0x7000 });
    this.pci.define(pciHeader.cacheLineSize, 1, { writable: 0 });
    this.pci.define(pciHeader.interruptLine, 1, { writable: 0 });
    this.pci.define(pciHeader.latencyTimer, 1, { writable: 0xf8 });
    for (const [offset, width, reset, writable] of plainRegisters) {
      this.pci.define(offset, width, { reset, writable });
    }
    for (let i = 0; i < PAM_COUNT; i++) {
      this.pci.define(PAM0 + i, 1, { writable: i === 0 ? PAM0_WRITABLE : PAM_WRITABLE });
    }
    this.pci.define(SMRAM, 1, {
      reset: smram.baseSegment,
      // Not fixed when locked either: saved state may have them in both values.
      owned: smram.lock | smram.open,
    });
    this.applyLock();
    this.stateCodec = i440fxCodec(this.pci.codec);
  }

  get memoryMap(): MemoryMap {
    const control = this.pci.get(SMRAM, 1);
    const enabled = (control & smram.enable) !== 0;
    return {
      segments: pamSegments.map(({ base, sizeBytes, register, shift }) => {
        const bits = this.pci.get(register, 1) >>> shift;
        return {
          base,
          sizeBytes,
          readRam: (bits & pam.readEnable) !== 0,
          writeRam: (bits & pam.writeEnable) !== 0,
        };
      }),
      smram: {
        everybody: enabled && (control & smram.open) !== 0,
        smmCode: enabled,
        smmData: enabled && (control & smram.close) === 0,
      },
    };
  }

  private written(offset: number, width: number): void {
    const touches = (register: number) => offset <= register && register < offset + width;
    if (touches(SMRAM)) this.applyLock();
    if (touches(SMRAM) || (offset + width > PAM0 && offset < PAM0 + PAM_COUNT)) {
      this.onMemoryMap(this.memoryMap);
    }
  }

  /** DLCK closes the window and stays. [PMC 3.2.22] */
  private applyLock(): void {
    const control = this.pci.get(SMRAM, 1);
    const locked = (control & smram.lock) !== 0;
    if (locked) this.pci.set(SMRAM, 1, control & ~smram.open);
    this.pci.setWritable(SMRAM, 1, smramWritable | (locked ? 0 : smram.lock | smram.open));
  }

  reset(kind: 'power-on' | 'warm'): void {
    const locked = kind === 'warm' ? this.pci.get(SMRAM, 1) & smram.lock : 0;
    this.pci.reset();
    this.pci.set(SMRAM, 1, this.pci.get(SMRAM, 1) | locked);
    this.applyLock();
    this.onMemoryMap(this.memoryMap);
  }

  save(): I440fxState {
    return { config: this.pci.save() };
  }

  restore(state: I440fxState): void {
    this.pci.restore(state.config);
    this.applyLock();
    this.onMemoryMap(this.memoryMap);
  }
}
