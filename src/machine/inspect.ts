import type { PcBoard } from './board-pc.js';
import type { MachineConfig } from './config.js';

/** A machine as data, for `chassis inspect`. */
export interface Inspection {
  readonly machine: string;
  readonly engine: string;
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly devices: readonly {
    readonly name: string;
    readonly regions: readonly {
      readonly name: string;
      readonly space: 'port' | 'mmio';
      /** Undefined while the region is switched off. */
      readonly base: number | undefined;
      readonly sizeBytes: number;
    }[];
  }[];
  readonly pci: readonly {
    /** `00:01.3` */
    readonly address: string;
    readonly name: string;
    readonly vendorId: number;
    readonly deviceId: number;
    readonly classCode: number;
  }[];
  readonly memoryMap: readonly {
    readonly gpa: number;
    readonly sizeBytes: number;
    readonly what: string;
    readonly readonly: boolean;
  }[];
}

export function inspectBoard(
  { machine, cpus, memoryBytes }: MachineConfig,
  engine: string,
  board: PcBoard,
): Inspection {
  const placed = [...board.ports.attachments(), ...board.mmio.attachments()];
  const devices = [...new Set([...board.devices, ...placed.map(({ device }) => device)])];
  return {
    machine,
    engine,
    cpus,
    memoryBytes,
    devices: devices.map((device) => ({
      name: device.name,
      regions: placed
        .filter((one) => one.device === device)
        .map(({ region, base, sizeBytes }) => {
          const { name, space } = device.io!.regions[region]!;
          return { name, space, base, sizeBytes };
        }),
    })),
    pci: board.pciSlots.map(({ name, slot, function: fn, face }) => ({
      address: `00:${slot.toString(16).padStart(2, '0')}.${fn}`,
      name,
      vendorId: face.configRead(0, 2),
      deviceId: face.configRead(2, 2),
      classCode: face.configRead(8, 4) >>> 8,
    })),
    memoryMap: board.memory
      .list()
      .map(({ gpa, sizeBytes, what, readonly }) => ({ gpa, sizeBytes, what, readonly })),
  };
}
