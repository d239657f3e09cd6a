import type { Vcpu } from '../engine/engine.js';
import { virtioMmio } from '../firmware/acpi/board.js';
import { acpiTables } from '../firmware/acpi/tables.js';
import type { BootImage } from '../firmware/boot-image.js';
import { directBoot } from '../firmware/direct-boot.js';
import { fwCfgE820, type RamLayout } from '../firmware/e820.js';
import { fwCfgTables } from '../firmware/fw-cfg-tables.js';
import { fwCfgKernel } from '../firmware/linux-loader/fw-cfg-kernel.js';
import { LINUXBOOT_BOOT_PATH, LINUXBOOT_FILE, linuxbootRom } from '../firmware/linuxboot-rom.js';
import { fwCfgSmbios, smbiosTables } from '../firmware/smbios/smbios.js';
import type { PcBoard } from './board-pc.js';
import type { MachineConfig, NamedFile } from './config.js';
import { startRecord } from './start-record.js';
import { mmioDevices } from './virtio-devices.js';

/** Items of fw_cfg beside files. [QEMU docs/specs/fw_cfg] */
const KEY = { ramSize: 0x03, cpus: 0x05, bootMenu: 0x0e, maxCpus: 0x0f, irq0Override: 0x8002 };
const COM1 = 0x3f8;

/** How the guest gets its first instruction. */
export interface Boot {
  /** What fw_cfg holds, for as long as the machine lives. */
  readonly files: readonly (readonly [key: number | string, content: Uint8Array])[];
  /** At power-on, with all RAM zero, and after each reset: the vCPU is at the reset vector. */
  start(board: PcBoard, vcpu: Vcpu, after: 'power-on' | 'reset'): void;
}

/** Throws LoadError for a kernel or initrd that cannot be used. */
export function prepareBoot(config: MachineConfig, ram: RamLayout, randomU32: () => number): Boot {
  const { firmware, kernel } = config;
  if (firmware === undefined && kernel !== undefined)
    return directly(config, kernel, ram, randomU32);
  // The reset vector is where the firmware is.
  return { files: firmwareFiles(config, ram), start() {} };
}

/** Without firmware: everything in RAM, the CPU at the kernel's entry. */
function directly(
  config: MachineConfig,
  kernel: NamedFile,
  ram: RamLayout,
  randomU32: () => number,
): Boot {
  const { cpus, initrd, modules, append = '' } = config;
  const count = mmioDevices(config.devices);
  const make = (): BootImage =>
    directBoot({
      board: { ram, cpus, serialPorts: 1, mmioDevices: count },
      kernel,
      ...(initrd === undefined ? {} : { initrd }),
      ...(modules === undefined ? {} : { modules }),
      commandLine: `${append}${toldByCommandLine(append, count)}`,
      randomU32,
    });
  // Large: not kept for a reset that may never come.
  let image: BootImage | undefined = make();
  return {
    files: [],
    start(board, vcpu, after) {
      board.openForLoader();
      if (after === 'reset') board.memory.clear();
      const { writes, cpu } = image ?? make();
      image = undefined;
      for (const { gpa, data } of writes) board.memory.physical.write(gpa, data);
      vcpu.setRecord(startRecord(cpu, vcpu.getRecord()));
    },
  };
}

/** Where virtio devices over MMIO are, for a kernel that is not to look at the ACPI tables. */
function toldByCommandLine(append: string, count: number): string {
  if (!/(^| )acpi=off( |$)/.test(append)) return '';
  const { base, sizeBytes, gsi } = virtioMmio;
  return Array.from({ length: count }, (_, i) => {
    const at = (base + i * sizeBytes).toString(16);
    return ` virtio_mmio.device=${sizeBytes}@0x${at}:${gsi + i}`;
  }).join('');
}

/** What firmware asks fw_cfg for. */
function firmwareFiles(config: MachineConfig, ram: RamLayout): [number | string, Uint8Array][] {
  const { cpus, kernel, initrd, append = '' } = config;
  const board = {
    ram,
    cpus,
    serialPorts: 1 as const,
    mmioDevices: mmioDevices(config.devices),
  };
  const files: [number | string, Uint8Array][] = [
    [KEY.ramSize, number(ram.below4G + ram.above4G, 8)],
    [KEY.cpus, number(cpus, 2)],
    [KEY.maxCpus, number(cpus, 2)],
    [KEY.bootMenu, number(0, 2)],
    [KEY.irq0Override, number(1, 1)],
    ['etc/e820', fwCfgE820(ram)],
    // There is no screen: SeaBIOS puts its text on the serial port.
    ['etc/sercon-port', number(COM1, 2)],
  ];
  for (const { name, data } of [
    ...fwCfgTables(acpiTables(board)),
    ...fwCfgSmbios(smbiosTables(board)),
  ]) {
    files.push([name, data]);
  }
  if (kernel !== undefined) {
    const items = fwCfgKernel({
      kernel,
      ...(initrd === undefined ? {} : { initrd }),
      commandLine: append,
      lowRamEnd: ram.below4G,
    });
    for (const { key, data } of items) files.push([key, data]);
    files.push([LINUXBOOT_FILE, linuxbootRom()]);
    const order = `${LINUXBOOT_BOOT_PATH}\n\0`;
    files.push(['bootorder', Uint8Array.from(order, (c) => c.charCodeAt(0))]);
  }
  return files;
}

/** Little-endian. */
function number(value: number, sizeBytes: number): Uint8Array {
  return Uint8Array.from({ length: sizeBytes }, (_, i) => Math.floor(value / 256 ** i) % 256);
}
