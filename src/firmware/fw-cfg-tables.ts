/** QEMU's table loader: the commands by which SeaBIOS and OVMF place and link ACPI tables. */
import { ascii, concat, viewOf } from './bytes.js';
import { type LinkedTables, withOffsets } from './linked-tables.js';

/** A file of fw_cfg's directory. */
export interface FwCfgFile {
  readonly name: string;
  readonly data: Uint8Array;
}

export const LOADER_FILE = 'etc/table-loader';

// [QEMU hw/acpi/bios-linker-loader.c]
const ENTRY_LENGTH = 128;
const NAME_LENGTH = 56;
const ALLOCATE = 1;
const ADD_POINTER = 2;
const ADD_CHECKSUM = 3;
const ZONE = { high: 1, fseg: 2 } as const;

/** The files to add to fw_cfg for `tables`: the tables themselves and the loader's commands. */
export function fwCfgTables(tables: LinkedTables): FwCfgFile[] {
  const commands: Uint8Array[] = [];
  for (const { name, align, zone } of tables.files) {
    commands.push(command(ALLOCATE, [name], [u32(align), Uint8Array.of(ZONE[zone])]));
  }
  for (const { file, at, size, targetFile } of tables.pointers) {
    commands.push(command(ADD_POINTER, [file, targetFile], [u32(at), Uint8Array.of(size)]));
  }
  for (const { file, at, start, length } of tables.checksums) {
    commands.push(command(ADD_CHECKSUM, [file], [u32(at), u32(start), u32(length)]));
  }
  return [
    ...tables.files.map((file) => ({ name: file.name, data: withOffsets(tables, file) })),
    { name: LOADER_FILE, data: concat(...commands) },
  ];
}

function command(
  code: number,
  names: readonly string[],
  fields: readonly Uint8Array[],
): Uint8Array {
  const entry = new Uint8Array(ENTRY_LENGTH);
  const padded = names.map((name) =>
    concat(ascii(name), new Uint8Array(NAME_LENGTH - name.length)),
  );
  entry.set(concat(u32(code), ...padded, ...fields));
  return entry;
}

function u32(value: number): Uint8Array {
  const out = new Uint8Array(4);
  viewOf(out).setUint32(0, value, true);
  return out;
}
