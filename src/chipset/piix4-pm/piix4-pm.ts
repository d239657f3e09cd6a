import type { Clock } from '../../base/clock.js';
import type { Device } from '../../device/device.js';
import { allOnes, type IoFace, type IoRegion } from '../../device/io.js';
import type { IrqLine } from '../../device/irq.js';
import { PciConfigSpace, pciHeader } from '../../device/pci-config.js';
import type { Timer, TimerSource } from '../../device/timer.js';
import {
  ACPI_DISABLE,
  ACPI_ENABLE,
  APM_PORT,
  apm,
  CONTROL_STORED,
  control,
  DEVACTB,
  DEVACTB_APMC_EN,
  identity,
  PCISTS_RESET,
  PM_SIZE,
  PM_TIMER_HZ,
  PM1_ENABLE_BITS,
  PM1_STATUS_BITS,
  PMBA,
  PMBA_WRITABLE,
  PMIOSE,
  PMREGMISC,
  pm,
  pm1,
  SCI_IRQ,
  SLEEP_SOFT_OFF,
} from './registers.js';
import { type Piix4PmState, piix4PmCodec } from './state.js';

export interface Piix4PmOptions {
  /** Where PMBA stands after reset, before any firmware; a multiple of 64. Default 0x600. */
  readonly ioBase?: number;
  /** Width of the PM timer; the FADT's TMR_VAL_EXT must agree. Default 24, as in the chip. */
  readonly timerBits?: 24 | 32;
}

export interface Piix4PmWiring {
  readonly clock: Clock;
  readonly timers: TimerSource;
  /** Level of the SCI, to IRQ 9. */
  readonly sci: IrqLine;
  /** The PM ports (region 0) moved, or vanished. */
  readonly onIoBase: (base: number | undefined) => void;
  /** The guest entered S5. */
  readonly onPowerOff: () => void;
}

enum Region {
  Pm = 0,
  Apm = 1,
}

/**
 * PIIX4 function 3: PM1 event and control blocks, PM timer, general-purpose events, and the APM
 * ports by which an OS takes ACPI over. There is no SMM, so the ports act by themselves.
 */
export class Piix4Pm implements Device<Piix4PmState>, IoFace {
  readonly name = 'piix4-pm';
  readonly io = this;
  readonly regions: readonly IoRegion[];
  readonly pci: PciConfigSpace;
  readonly stateVersion = 1;
  readonly stateCodec;

  // Fixed configuration.
  private readonly timerMask: number;
  /** The timer's top bit toggles each so many ticks, which sets TMROF_STS. */
  private readonly halfPeriodTicks: number;

  // Wiring.
  private readonly overflowTimer: Timer;
  private ioBase: number | undefined;

  // Guest-visible state.
  private status = 0;
  private enable = 0;
  private control = 0;
  private gpeStatus = 0;
  private gpeEnable = 0;
  private apmCommand = 0;
  private apmStatus = 0;
  private overflowTick: number;

  constructor(
    private readonly wiring: Piix4PmWiring,
    options: Piix4PmOptions = {},
  ) {
    const { ioBase = 0x600, timerBits = 24 } = options;
    this.timerMask = 2 ** timerBits;
    this.halfPeriodTicks = 2 ** (timerBits - 1);
    this.overflowTick = this.halfPeriodTicks;
    this.regions = [
      { name: 'pm', space: 'port', sizeBytes: PM_SIZE, base: ioBase },
      { name: 'apm', space: 'port', sizeBytes: 2, base: APM_PORT, maxWidth: 1 },
    ];
    this.pci = new PciConfigSpace(identity, { written: () => this.place() });
    this.pci.define(pciHeader.status, 2, { reset: PCISTS_RESET });
    this.pci.define(pciHeader.interruptLine, 1, { reset: SCI_IRQ });
    this.pci.define(PMBA, 4, { reset: ioBase | 1, writable: PMBA_WRITABLE });
    // SeaBIOS takes the bit for a sign that SMM is set up, and leaves it alone: there is none here.
    this.pci.define(DEVACTB, 4, { reset: DEVACTB_APMC_EN, writable: ~0 });
    this.pci.define(PMREGMISC, 1, { reset: PMIOSE, writable: PMIOSE });
    this.stateCodec = piix4PmCodec(this.pci.codec);
    this.ioBase = ioBase;
    this.overflowTimer = wiring.timers.create('pm-timer', () => this.update());
  }

  /** The power button was pressed; an ACPI guest shuts down by itself, any other takes no notice. */
  press(): void {
    this.status |= pm1.powerButton;
    this.update();
  }

  /** A general-purpose event, 0 to 15, happened. */
  raiseGpe(event: number): void {
    this.gpeStatus |= 1 << event;
    this.update();
  }

  /** Where the PM ports are now. */
  get pmBase(): number | undefined {
    return this.ioBase;
  }

  private place(): void {
    const decodes = (this.pci.get(PMREGMISC, 1) & PMIOSE) !== 0;
    const base = decodes ? this.pci.get(PMBA, 2) & PMBA_WRITABLE : undefined;
    if (base === this.ioBase) return;
    this.ioBase = base;
    this.wiring.onIoBase(base);
  }

  // The PM timer is the clock at another rate; only its overflow is an event.

  private ticks(): number {
    return Math.floor((this.wiring.clock.nowNs() * PM_TIMER_HZ) / 1e9);
  }

  /** Notes an overflow, and does what follows. */
  private update(): void {
    if (this.ticks() >= this.overflowTick) this.status |= pm1.timer;
    this.drive();
  }

  /** Arms for the next overflow if the guest wants to hear of it, and drives the SCI. */
  private drive(): void {
    const awaited = (this.enable & pm1.timer) !== 0 && (this.status & pm1.timer) === 0;
    if (awaited) this.overflowTimer.arm(Math.ceil(((this.overflowTick + 1) * 1e9) / PM_TIMER_HZ));
    else this.overflowTimer.disarm();
    const events = (this.status & this.enable) | (this.gpeStatus & this.gpeEnable);
    this.wiring.sci.set((this.control & control.sciEnable) !== 0 && events !== 0);
  }

  private clearStatus(mask: number): void {
    this.status &= ~mask;
    if ((mask & pm1.timer) === 0) return;
    this.overflowTick =
      (Math.floor(this.ticks() / this.halfPeriodTicks) + 1) * this.halfPeriodTicks;
  }

  private writeControl(value: number): void {
    this.control = value & CONTROL_STORED;
    this.update();
    if ((value & control.sleepEnable) === 0) return;
    const sleepType = (value >>> control.sleepTypeShift) & control.sleepTypeMask;
    if (sleepType === SLEEP_SOFT_OFF) this.wiring.onPowerOff();
  }

  read(region: number, offset: number, width: 1 | 2 | 4): number {
    const { sizeBytes } = this.regions[region] ?? { sizeBytes: 0 };
    if (offset < 0 || offset + width > sizeBytes) return allOnes(width);
    if (region === Region.Apm) {
      if (width !== 1) return allOnes(width);
      return offset === apm.command ? this.apmCommand : this.apmStatus;
    }
    const shift = 8 * (offset & 3);
    const low = this.readDword(offset & ~3) >>> shift;
    const straddles = shift + 8 * width > 32;
    const value = straddles ? low | (this.readDword((offset & ~3) + 4) << (32 - shift)) : low;
    return (value & allOnes(width)) >>> 0;
  }

  private readDword(offset: number): number {
    switch (offset) {
      case pm.status:
        this.update();
        return this.status | (this.enable << 16);
      case pm.control:
        return this.control;
      case pm.timer:
        return this.ticks() % this.timerMask;
      case pm.gpeStatus:
        return this.gpeStatus | (this.gpeEnable << 16);
      default:
        return 0;
    }
  }

  write(region: number, offset: number, width: 1 | 2 | 4, value: number): void {
    const { sizeBytes } = this.regions[region] ?? { sizeBytes: 0 };
    if (offset < 0 || offset + width > sizeBytes) return;
    if (region === Region.Apm) {
      if (width === 1) this.writeApm(offset, value);
      return;
    }
    // Low byte first: SUS_EN comes after all that it needs.
    for (let i = 0; i < width; i++) this.writeByte(offset + i, (value >>> (8 * i)) & 0xff);
  }

  private writeByte(offset: number, byte: number): void {
    const shift = 8 * (offset & 1);
    const merge = (old: number) => (old & ~(0xff << shift)) | (byte << shift);
    switch (offset & ~1) {
      case pm.status:
        this.clearStatus((byte << shift) & PM1_STATUS_BITS);
        break;
      case pm.enable:
        this.enable = merge(this.enable) & PM1_ENABLE_BITS;
        break;
      case pm.control:
        this.writeControl(merge(this.control));
        break;
      case pm.gpeStatus:
        this.gpeStatus &= ~(byte << shift);
        break;
      case pm.gpeEnable:
        this.gpeEnable = merge(this.gpeEnable);
        break;
      default:
        return;
    }
    this.update();
  }

  private writeApm(offset: number, value: number): void {
    if (offset === apm.status) {
      this.apmStatus = value;
      return;
    }
    this.apmCommand = value;
    if (value === ACPI_ENABLE) this.control |= control.sciEnable;
    else if (value === ACPI_DISABLE) this.control &= ~control.sciEnable;
    this.update();
  }

  reset(): void {
    this.status = 0;
    this.enable = 0;
    this.control = 0;
    this.gpeStatus = 0;
    this.gpeEnable = 0;
    this.apmCommand = 0;
    this.apmStatus = 0;
    this.overflowTick = this.halfPeriodTicks;
    this.pci.reset();
    this.place();
    this.overflowTimer.disarm();
    this.wiring.sci.set(false);
  }

  save(): Piix4PmState {
    return {
      config: this.pci.save(),
      status: this.status,
      enable: this.enable,
      control: this.control,
      gpeStatus: this.gpeStatus,
      gpeEnable: this.gpeEnable,
      apmCommand: this.apmCommand,
      apmStatus: this.apmStatus,
      overflowTick: this.overflowTick,
    };
  }

  restore(state: Piix4PmState): void {
    this.status = state.status;
    this.enable = state.enable;
    this.control = state.control;
    this.gpeStatus = state.gpeStatus;
    this.gpeEnable = state.gpeEnable;
    this.apmCommand = state.apmCommand;
    this.apmStatus = state.apmStatus;
    this.overflowTick = state.overflowTick;
    this.pci.restore(state.config);
    this.place();
    // An overflow that nobody has noted yet stays so: saved again, the state is the same.
    this.drive();
  }
}
