import { type CharBackend, noChar } from '../backend/char/char.js';
import type { Log } from '../base/log.js';
import { Debugcon } from '../chipset/debugcon/debugcon.js';
import { FwCfg } from '../chipset/fw-cfg/fw-cfg.js';
import { I440fx } from '../chipset/i440fx/i440fx.js';
import { I8042 } from '../chipset/i8042/i8042.js';
import { IsaDebugExit } from '../chipset/isa-debug-exit/isa-debug-exit.js';
import { PciHost, type PciSlot } from '../chipset/pci-host/pci-host.js';
import { Pic8259Pair } from '../chipset/pic8259/pic8259.js';
import { Piix3 } from '../chipset/piix3/piix3.js';
import { Piix4Pm } from '../chipset/piix4-pm/piix4-pm.js';
import { Pit8254 } from '../chipset/pit8254/pit8254.js';
import { Port92 } from '../chipset/port92/port92.js';
import { PostCode } from '../chipset/post-code/post-code.js';
import { PORT as POST_PORT } from '../chipset/post-code/registers.js';
import { cmosForMemory } from '../chipset/rtc146818/cmos.js';
import { Rtc146818 } from '../chipset/rtc146818/rtc146818.js';
import { COM_PORTS } from '../chipset/uart16550/registers.js';
import { Uart16550 } from '../chipset/uart16550/uart16550.js';
import { type Attachment, IoBus } from '../device/bus.js';
import type { Device } from '../device/device.js';
import type { IrqLine } from '../device/irq.js';
import type { InlineBus, Vm } from '../engine/engine.js';
import { PM_BASE, SCI_IRQ } from '../firmware/acpi/board.js';
import type { RamLayout } from '../firmware/e820.js';
import type { VirtioType } from '../virtio/core/virtio-type.js';
import { BoardMemory } from './board-memory.js';
import type { DeviceConfig, MachineConfig } from './config.js';
import { debugExitPort, isaDevices } from './extra-devices.js';
import type { PcInterrupts } from './interrupts.js';
import type { MachineClock } from './machine-clock.js';
import { SharedLine } from './shared-line.js';
import type { Timers } from './timers.js';
import { type VirtioBackends, virtioDevices } from './virtio-devices.js';
import { wireVirtio } from './virtio-wiring.js';

export interface BoardWiring {
  readonly vm: Vm;
  readonly interrupts: PcInterrupts;
  readonly clock: MachineClock;
  readonly timers: Timers;
  readonly log: Log;
  readonly serial: readonly CharBackend[];
  readonly debugcon: CharBackend;
  readonly virtio: Omit<VirtioBackends, 'discard'>;
  /** Calls back once the host's event loop had its turn. */
  readonly later: (callback: () => void) => void;
  /** Gives pages back to the host. */
  readonly release: ((pages: Uint8Array) => void) | undefined;
  /** The guest asked for a reset, of the CPU or of all: both are the same here. */
  readonly onReset: (who: string) => void;
  readonly onPowerOff: () => void;
  readonly onDebugExit: (status: number) => void;
}

/** Input of the IOAPIC that the timer's interrupt leads to, as the MADT says. */
const TIMER_GSI = 2;
const ISA_IRQS = 16;
const RESET_CONTROL_OFFSET = 1;

/**
 * Machine type `pc`: i440FX and PIIX with the chips of a PC on ISA. ISA interrupts go to the 8259 pair
 * and to the IOAPIC alike; a guest uses the one or the other.
 *
 *   00:00.0 i440FX    00:01.0 PIIX3 ISA bridge    00:01.3 PIIX4 power management
 */
export class PcBoard implements InlineBus {
  readonly ports: IoBus;
  readonly mmio: IoBus;
  readonly memory: BoardMemory;
  readonly fwCfg: FwCfg;
  readonly pm: Piix4Pm;
  readonly pciSlots: readonly (PciSlot & { name: string })[];
  readonly virtio: readonly VirtioType<unknown>[];
  /** In the order of restoring: interrupt controllers before those that drive them. */
  readonly devices: readonly Device<unknown>[];
  private readonly a20: SharedLine;
  private readonly i440fx: I440fx;
  private readonly pic: Pic8259Pair;
  private readonly pit: Pit8254;
  private readonly uarts: Uart16550[] = [];
  private readonly isa: SharedLine[];

  constructor(
    readonly config: Pick<MachineConfig, 'firmware' | 'devices'>,
    ram: RamLayout,
    private readonly wiring: BoardWiring,
  ) {
    const { vm, interrupts, clock, timers, log } = wiring;
    this.ports = new IoBus('port', log);
    this.mmio = new IoBus('mmio', log);
    this.memory = new BoardMemory(vm, ram, config.firmware);
    this.a20 = new SharedLine({ set: (high) => vm.setA20(high) });

    this.pic = new Pic8259Pair({ intr: { set: (high) => interrupts.setIntr(high) } });
    interrupts.attachPic(this.pic);
    this.isa = Array.from({ length: ISA_IRQS }, (_, irq) => {
      const line = this.pic.irq(irq);
      return new SharedLine({
        set: (high) => {
          line.set(high);
          vm.setIrqLine(irq === 0 ? TIMER_GSI : irq, high);
        },
      });
    });
    const irq = (number: number): IrqLine => this.isa[number]!.input();
    const resetBy = (who: string) => () => wiring.onReset(who);

    this.i440fx = new I440fx((map) => this.memory.apply(map));
    this.memory.apply(this.i440fx.memoryMap);
    const piix3 = new Piix3({
      irqs: Array.from({ length: ISA_IRQS }, (_, number) => irq(number)),
      onReset: resetBy('the reset control register'),
    });
    let pmPorts: Attachment | undefined;
    this.pm = new Piix4Pm(
      {
        clock,
        timers,
        sci: irq(SCI_IRQ),
        onIoBase: (base) => {
          if (pmPorts !== undefined) this.ports.move(pmPorts, base);
        },
        onPowerOff: wiring.onPowerOff,
      },
      { ioBase: PM_BASE },
    );
    const { physical } = this.memory;
    const discard = (gpa: number, length: number) => {
      if (wiring.release !== undefined) physical.discard(gpa, length, wiring.release);
    };
    const devices = virtioDevices(config.devices, { ...wiring.virtio, discard });
    this.virtio = devices.map(({ type }) => type);
    const virtio = wireVirtio(devices, {
      vm,
      log,
      memory: physical,
      ports: this.ports,
      mmio: this.mmio,
      later: wiring.later,
      intx: (slot) => piix3.pciInput(slot, 1),
    });
    this.pciSlots = [
      { name: this.i440fx.name, slot: 0, function: 0, face: this.i440fx.pci },
      { name: piix3.name, slot: 1, function: 0, face: piix3.pci },
      { name: this.pm.name, slot: 1, function: 3, face: this.pm.pci },
      ...virtio.slots,
    ];
    const pciHost = new PciHost(this.pciSlots, {
      read: (offset, width) =>
        offset === RESET_CONTROL_OFFSET ? piix3.read(0, 0, width) : piix3.read(0, -1, width),
      write: (offset, width, value) => {
        if (offset === RESET_CONTROL_OFFSET) piix3.write(0, 0, width, value);
      },
    });
    this.fwCfg = new FwCfg(this.memory.physical);
    // One that only stands for the engine's must not interrupt as well.
    const pitWiring = vm.chips === undefined ? { timers, irq: irq(0) } : nowhere;
    this.pit = new Pit8254({ clock, ...pitWiring });
    const onPorts: Device<unknown>[] = [
      this.pic,
      pciHost,
      this.pit,
      new Rtc146818(
        { clock, timers, irq: irq(8) },
        { cmos: cmosForMemory(ram.below4G, ram.above4G) },
      ),
      new I8042({
        keyboardIrq: irq(1),
        auxIrq: irq(12),
        a20: this.a20.input(),
        reset: resetBy('the keyboard controller'),
      }),
      ...this.serialPorts(irq),
      new Port92({ a20: this.a20.input(), reset: resetBy('port 92h') }),
      new PostCode(),
      new Debugcon({ sink: byteSink(wiring.debugcon) }),
      this.fwCfg,
      ...isaDevices(config.devices).map((device) => this.extra(device)),
    ];
    for (const device of onPorts) this.ports.attach(device);
    // Nobody waits for a progress code; guests write them by the thousand, and for the delay.
    vm.coalesce?.('port', POST_PORT, 1);
    this.ports.attachRegion(this.pm, 1, this.pm.regions[1]!.base);
    pmPorts = this.ports.attachRegion(this.pm, 0, this.pm.pmBase);
    this.mmio.attach(interrupts.ioApic);
    this.devices = [this.i440fx, ...onPorts, piix3, this.pm, ...virtio.boards];
  }

  /** Every device in the state of a reset that the CPU or the reset button asked for. */
  reset(): void {
    for (const device of this.devices) device.reset('warm');
    this.wiring.interrupts.ioApic.reset();
  }

  /** Where the engine has the 8259s, the 8254 and the IOAPIC: our devices take their state. */
  takeChips(): void {
    const records = this.wiring.vm.chips?.get();
    if (records === undefined) return;
    this.pic.restore(records.pic);
    this.pit.restore(records.pit);
    this.wiring.interrupts.setIoApic(records.ioApic);
  }

  /** The reverse. */
  giveChips(): void {
    const ioApic = this.wiring.interrupts.getIoApic();
    this.wiring.vm.chips?.set({ pic: this.pic.save(), pit: this.pit.save(), ioApic });
  }

  /** What a loader without firmware finds on real hardware: RAM below 1 MiB, A20 open. */
  openForLoader(): void {
    const PAM0 = 0x59;
    for (let i = 0; i < 7; i++) this.i440fx.pci.configWrite(PAM0 + i, 1, i === 0 ? 0x30 : 0x33);
    this.ports.write(0x92, 1, 0x02);
  }

  portRead(port: number, size: 1 | 2 | 4): number {
    return this.ports.read(port, size);
  }

  portWrite(port: number, size: 1 | 2 | 4, value: number): void {
    this.ports.write(port, size, value);
  }

  mmioRead(gpa: number, size: 1 | 2 | 4): number {
    return this.mmio.read(gpa, size);
  }

  mmioWrite(gpa: number, size: 1 | 2 | 4, value: number): void {
    if (!this.memory.writeHidden(gpa, size, value)) this.mmio.write(gpa, size, value);
  }

  private serialPorts(irq: (number: number) => IrqLine): Uart16550[] {
    const { clock, timers, serial } = this.wiring;
    const backends = serial.length === 0 ? [noChar] : serial;
    backends.forEach((char, index) => {
      const port = COM_PORTS[index];
      if (port === undefined) return;
      const uart = new Uart16550(
        {
          clock,
          timers,
          irq: irq(port.irq),
          sink: byteSink(char),
          onRoom: () => char.resume(),
        },
        port,
      );
      char.connect((bytes) => uart.receive(bytes));
      this.uarts.push(uart);
    });
    return this.uarts;
  }

  private extra(device: DeviceConfig): Device<unknown> {
    return new IsaDebugExit({ exit: this.wiring.onDebugExit }, { base: debugExitPort(device) });
  }
}

/** A backend takes arrays; the guest writes bytes. */
function byteSink(char: CharBackend): { write(byte: number): void } {
  const one = new Uint8Array(1);
  return {
    write(byte) {
      one[0] = byte;
      char.write(one);
    },
  };
}

const nowhere = {
  timers: { create: () => ({ arm() {}, disarm() {} }) },
  irq: { set() {} },
};
