import type { Log } from '../base/log.js';
import type { PciSlot } from '../chipset/pci-host/pci-host.js';
import type { Attachment, IoBus } from '../device/bus.js';
import type { Device } from '../device/device.js';
import type { IrqLine } from '../device/irq.js';
import type { Vm } from '../engine/engine.js';
import { virtioMmio } from '../firmware/acpi/board.js';
import type { PhysicalMemory } from '../memory/physical-memory.js';
import { VirtioMmio } from '../virtio/mmio/virtio-mmio.js';
import { VirtioPci } from '../virtio/pci/virtio-pci.js';
import type { VirtioDevice } from './virtio-devices.js';
import { VirtioDoorbells } from './virtio-doorbells.js';

export interface VirtioWiring {
  readonly vm: Vm;
  readonly log: Log;
  readonly memory: PhysicalMemory;
  readonly ports: IoBus;
  readonly mmio: IoBus;
  readonly later: (callback: () => void) => void;
  /** INTA# of a slot. */
  readonly intx: (slot: number) => IrqLine;
}

/** Slot 2 is left to a display, as on boards that guests know. */
const FIRST_SLOT = 3;
/** Of a virtio function: what version 1 of the interface is behind. */
const MODERN_REGION = 1;

/** Puts virtio devices on their buses: each in a PCI slot of its own, or at an address of its own. */
export function wireVirtio(
  devices: readonly VirtioDevice[],
  wiring: VirtioWiring,
): { boards: Device<unknown>[]; slots: (PciSlot & { name: string })[] } {
  const boards: Device<unknown>[] = [];
  const slots: (PciSlot & { name: string })[] = [];
  devices.forEach((device, index) => {
    const name = `virtio-${device.type.name}${index}`;
    if (device.isMmio) boards.push(atAddress(device, name, boards.length - slots.length, wiring));
    else {
      const board = inSlot(device, name, FIRST_SLOT + slots.length, wiring);
      boards.push(board);
      slots.push({ name, slot: FIRST_SLOT + slots.length, function: 0, face: board.pci });
    }
  });
  return { boards, slots };
}

function atAddress(
  { type, withheld }: VirtioDevice,
  name: string,
  place: number,
  { vm, log, memory, mmio, later }: VirtioWiring,
): Device<unknown> {
  const irq = { set: (high: boolean) => vm.setIrqLine(virtioMmio.gsi + place, high) };
  const base = virtioMmio.base + place * virtioMmio.sizeBytes;
  const device = new VirtioMmio(type, { dma: memory, log, later, irq }, { base, withheld, name });
  mmio.attach(device);
  return device;
}

/** Its BARs stand where the guest puts them. */
function inSlot(
  { type, withheld }: VirtioDevice,
  name: string,
  slot: number,
  { vm, log, memory, ports, mmio, later, intx }: VirtioWiring,
): VirtioPci<unknown> {
  const places: (Attachment | undefined)[] = [];
  const bus = (region: number) => (device.regions[region]!.space === 'port' ? ports : mmio);
  const device: VirtioPci<unknown> = new VirtioPci(
    type,
    {
      dma: memory,
      log,
      later,
      msi: { send: (address, data) => vm.sendMsi(address, data) },
      intx: intx(slot),
      regionMoved: (region, base) => {
        bus(region).move(places[region]!, base);
        if (region === MODERN_REGION) doorbells.move(base);
      },
    },
    { name, withheld },
  );
  const doorbells = new VirtioDoorbells(vm, type.queueSizes.length, (offset, queue) =>
    device.write(MODERN_REGION, offset, 2, queue),
  );
  device.regions.forEach((_, region) => {
    places[region] = bus(region).attachRegion(device, region);
  });
  return device;
}
