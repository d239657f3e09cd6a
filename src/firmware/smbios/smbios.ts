/** SMBIOS 2.8: what the machine is made of, for dmidecode and for licensing. [SMBIOS] is DSP0134. */
import { ascii, checksum, concat, cString, setU64, viewOf } from '../bytes.js';
import { FOUR_GIB, type RamLayout } from '../e820.js';
import type { FwCfgFile } from '../fw-cfg-tables.js';
import type { GuestWrite } from '../load-error.js';

export interface SmbiosBoard {
  readonly ram: RamLayout;
  readonly cpus: number;
  /** 16 bytes in the order they are written as text; all zero: not told. */
  readonly uuid?: Uint8Array;
}

export interface SmbiosTables {
  /** The 32-bit entry point with the structures' address 0 and its checksums for that. */
  readonly anchor: Uint8Array;
  readonly structures: Uint8Array;
}

const VENDOR = 'Chassis';
const ANCHOR_LENGTH = 31;
const OTHER = 1;
const NONE = 3;
const NO_HANDLE = 0xfffe;

/** A field of a structure: its width in bytes and its value, or a string with its number. */
type Field = [width: 1 | 2 | 4 | 8, value: number] | string | Uint8Array;

const byte = (value: number): Field => [1, value];
const word = (value: number): Field => [2, value];
const dword = (value: number): Field => [4, value];

/** One structure: header, formatted fields, strings, and the double NUL. [SMBIOS 6.1] */
function structure(type: number, handle: number, ...fields: readonly Field[]): Uint8Array {
  const strings: string[] = [];
  const parts = fields.map((field) => {
    if (field instanceof Uint8Array) return field;
    if (typeof field === 'string') return Uint8Array.of(strings.push(field));
    const bytes = new Uint8Array(8);
    setU64(viewOf(bytes), 0, field[1]);
    return bytes.subarray(0, field[0]);
  });
  const formatted = concat(new Uint8Array(4), ...parts);
  formatted[0] = type;
  formatted[1] = formatted.length;
  viewOf(formatted).setUint16(2, handle, true);
  const tail = strings.length > 0 ? strings.map(cString) : [new Uint8Array(1)];
  return concat(formatted, ...tail, new Uint8Array(1));
}

export function smbiosTables(board: SmbiosBoard): SmbiosTables {
  const list = [
    bios(),
    system(board.uuid ?? new Uint8Array(16)),
    chassis(),
    processor(board.cpus),
    ...memory(board.ram),
    // Type 32, system boot information: status 0, no errors. [SMBIOS 7.33]
    structure(32, 0x2000, new Uint8Array(6), byte(0)),
    structure(127, 0x7f00),
  ];
  const structures = concat(...list);
  return { anchor: anchor(structures.length, list), structures };
}

/** Type 0. [SMBIOS 7.1] */
function bios(): Uint8Array {
  const CHARACTERISTICS_NOT_SUPPORTED = 1 << 3;
  const EXTENSION_1_ACPI = 1;
  const EXTENSION_2_VIRTUAL_MACHINE = 1 << 4;
  return structure(
    0,
    0x0000,
    VENDOR,
    '1',
    word(0xe800),
    '01/01/2026',
    byte(0),
    [8, CHARACTERISTICS_NOT_SUPPORTED],
    byte(EXTENSION_1_ACPI),
    byte(EXTENSION_2_VIRTUAL_MACHINE),
    // Release of the system BIOS and of the embedded controller: none.
    word(0),
    word(0xffff),
  );
}

/** Type 1. The first three groups of a UUID are little-endian. [SMBIOS 7.2] */
function system(uuid: Uint8Array): Uint8Array {
  const order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
  const WAKE_POWER_SWITCH = 6;
  return structure(
    1,
    0x0100,
    VENDOR,
    'Chassis PC (i440FX + PIIX)',
    '1',
    byte(0),
    Uint8Array.from(order, (i) => uuid[i]),
    byte(WAKE_POWER_SWITCH),
    byte(0),
    byte(0),
  );
}

/** Type 3. [SMBIOS 7.4] */
function chassis(): Uint8Array {
  const SAFE = 3;
  return structure(
    3,
    0x0300,
    VENDOR,
    byte(OTHER),
    byte(0),
    byte(0),
    byte(0),
    byte(SAFE),
    byte(SAFE),
    byte(SAFE),
    byte(NONE),
    dword(0),
    // Height, power cords, contained elements (0 of 0 bytes), SKU.
    new Uint8Array(5),
  );
}

/** Type 4: one socket with all the CPUs as cores. [SMBIOS 7.5] */
function processor(cpus: number): Uint8Array {
  const CENTRAL_PROCESSOR = 3;
  const POPULATED_ENABLED = 0x41;
  const CAPABLE_64BIT = 1 << 2;
  const cores = Math.min(cpus, 0xff);
  return structure(
    4,
    0x0400,
    'CPU 0',
    byte(CENTRAL_PROCESSOR),
    byte(OTHER),
    VENDOR,
    [8, 0],
    '1',
    // Voltage, external clock, greatest and present speed in MHz: not known.
    byte(0),
    word(0),
    word(0),
    word(0),
    byte(POPULATED_ENABLED),
    byte(OTHER),
    word(0xffff),
    word(0xffff),
    word(0xffff),
    byte(0),
    byte(0),
    byte(0),
    byte(cores),
    byte(cores),
    byte(cores),
    word(CAPABLE_64BIT),
    word(OTHER),
  );
}

const MIB = 2 ** 20;

/** Types 16, 17 and 19: one array of one module, mapped below and above the PCI hole. [SMBIOS 7.17] */
function memory(ram: RamLayout): Uint8Array[] {
  const SYSTEM_BOARD = 3;
  const SYSTEM_MEMORY = 3;
  const SEE_EXTENDED = 0x8000_0000;
  const total = ram.below4G + ram.above4G;
  const kib = total / 1024;
  const mib = Math.floor(total / MIB);
  const DIMM = 9;
  const RAM = 7;
  const TYPE_DETAIL_OTHER = 1 << 1;
  const [ARRAY, MODULE] = [0x1000, 0x1100];
  const mapped = (index: number, from: number, to: number): Uint8Array => {
    const fits = to / 1024 <= 0xffff_ffff;
    return structure(
      19,
      0x1300 + index,
      dword(fits ? from / 1024 : 0xffff_ffff),
      dword(fits ? to / 1024 - 1 : 0xffff_ffff),
      word(ARRAY),
      byte(1),
      [8, fits ? 0 : from],
      [8, fits ? 0 : to - 1],
    );
  };
  const maps = [mapped(0, 0, ram.below4G)];
  if (ram.above4G > 0) maps.push(mapped(1, FOUR_GIB, FOUR_GIB + ram.above4G));
  return [
    structure(
      16,
      ARRAY,
      byte(SYSTEM_BOARD),
      byte(SYSTEM_MEMORY),
      byte(NONE),
      dword(Math.min(kib, SEE_EXTENDED)),
      word(NO_HANDLE),
      word(1),
      [8, kib < SEE_EXTENDED ? 0 : total],
    ),
    structure(
      17,
      MODULE,
      word(ARRAY),
      word(NO_HANDLE),
      word(0xffff),
      word(0xffff),
      word(Math.min(mib, 0x7fff)),
      byte(DIMM),
      byte(0),
      'DIMM 0',
      byte(0),
      byte(RAM),
      word(TYPE_DETAIL_OTHER),
      word(0),
      VENDOR,
      // Serial number, asset tag, part number, attributes.
      new Uint8Array(4),
      dword(mib < 0x7fff ? 0 : mib),
      // Configured speed and the three voltages: not known.
      new Uint8Array(8),
    ),
    ...maps,
  ];
}

/** The 32-bit entry point. [SMBIOS 5.2.1] */
function anchor(length: number, structures: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(ANCHOR_LENGTH);
  const view = viewOf(out);
  out.set(ascii('_SM_'), 0);
  out[5] = ANCHOR_LENGTH;
  out[6] = 2;
  out[7] = 8;
  view.setUint16(8, Math.max(...structures.map((one) => one.length)), true);
  out.set(ascii('_DMI_'), 16);
  view.setUint16(22, length, true);
  view.setUint16(28, structures.length, true);
  out[30] = 0x28;
  sum(out);
  return out;
}

/** The intermediate checksum first, then that of the whole. */
function sum(out: Uint8Array): void {
  out[21] = 0;
  out[21] = checksum(out.subarray(16));
  out[4] = 0;
  out[4] = checksum(out);
}

/** For firmware, which links them itself. [QEMU hw/i386/fw_cfg.c] */
export const fwCfgSmbios = ({ anchor, structures }: SmbiosTables): FwCfgFile[] => [
  { name: 'etc/smbios/smbios-tables', data: structures },
  { name: 'etc/smbios/smbios-anchor', data: anchor },
];

/** Entry point and structures from `gpa` on, which has to be 16-aligned in 0xf0000 to 0xfffff. */
export function placeSmbios(tables: SmbiosTables, gpa: number): GuestWrite[] {
  const at = gpa + 32;
  const anchor = tables.anchor.slice();
  viewOf(anchor).setUint32(24, at, true);
  sum(anchor);
  return [
    { gpa, data: anchor },
    { gpa: at, data: tables.structures },
  ];
}
