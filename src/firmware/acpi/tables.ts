/** All ACPI tables of the board as files with the links between them. */
import { alignUp, ascii, concat } from '../bytes.js';
import type { LinkedTables } from '../linked-tables.js';
import type { AcpiBoard } from './board.js';
import { dsdtBody } from './dsdt.js';
import {
  FADT_DSDT,
  FADT_FIRMWARE_CTRL,
  FADT_X_DSDT,
  facs,
  fadt,
  HEADER_CHECKSUM,
  HEADER_LENGTH,
  madt,
  table,
  waet,
} from './fixed-tables.js';

export const TABLES_FILE = 'etc/acpi/tables';
export const RSDP_FILE = 'etc/acpi/rsdp';

const RSDP_LENGTH = 36;
const RSDP_V1_LENGTH = 20;

/** FACS, DSDT, FADT, MADT, WAET, RSDT, XSDT in one file, the RSDP in another. [5.2] */
export function acpiTables(board: AcpiBoard): LinkedTables {
  const pointers: LinkedTables['pointers'][number][] = [];
  const checksums: LinkedTables['checksums'][number][] = [];
  let tables: Uint8Array = new Uint8Array(0);
  const append = (data: Uint8Array, align: number): number => {
    const at = alignUp(tables.length, align);
    tables = concat(tables, new Uint8Array(at - tables.length), data);
    return at;
  };
  const appendTable = (data: Uint8Array): number => {
    const at = append(data, 16);
    checksums.push({ file: TABLES_FILE, start: at, length: data.length, at: at + HEADER_CHECKSUM });
    return at;
  };
  const link = (at: number, size: 4 | 8, target: number, file = TABLES_FILE) =>
    pointers.push({ file, at, size, targetFile: TABLES_FILE, target });

  // The FACS comes first: its alignment is then the file's.
  const facsAt = append(facs(), 64);
  const dsdtAt = appendTable(table('DSDT', 2, dsdtBody(board)));
  const fadtAt = appendTable(fadt());
  link(fadtAt + FADT_FIRMWARE_CTRL, 4, facsAt);
  link(fadtAt + FADT_DSDT, 4, dsdtAt);
  link(fadtAt + FADT_X_DSDT, 8, dsdtAt);
  const listed = [fadtAt, appendTable(madt(board)), appendTable(waet())];
  const index = (signature: string, size: 4 | 8): number => {
    const at = appendTable(table(signature, 1, new Uint8Array(listed.length * size)));
    for (const [i, one] of listed.entries()) link(at + HEADER_LENGTH + i * size, size, one);
    return at;
  };
  const rsdtAt = index('RSDT', 4);
  const xsdtAt = index('XSDT', 8);

  link(16, 4, rsdtAt, RSDP_FILE);
  link(24, 8, xsdtAt, RSDP_FILE);
  checksums.push({ file: RSDP_FILE, start: 0, length: RSDP_V1_LENGTH, at: 8 });
  checksums.push({ file: RSDP_FILE, start: 0, length: RSDP_LENGTH, at: 32 });
  return {
    files: [
      { name: RSDP_FILE, data: rsdp(), align: 16, zone: 'fseg' },
      { name: TABLES_FILE, data: tables, align: 64, zone: 'high' },
    ],
    pointers,
    checksums,
  };
}

/** Revision 2, pointers and checksums left 0. [5.2.5.3] */
function rsdp(): Uint8Array {
  const out = new Uint8Array(RSDP_LENGTH);
  out.set(ascii('RSD PTR '), 0);
  out.set(ascii('CHASSI'), 9);
  out[15] = 2;
  out[20] = RSDP_LENGTH;
  return out;
}
