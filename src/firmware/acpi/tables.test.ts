import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { viewOf } from '../bytes.js';
import { ramLayout } from '../e820.js';
import { type FwCfgFile, fwCfgTables, LOADER_FILE } from '../fw-cfg-tables.js';
import { placeTables } from '../linked-tables.js';
import type { AcpiBoard } from './board.js';
import { acpiTables, RSDP_FILE, TABLES_FILE } from './tables.js';

const board: AcpiBoard = { ram: ramLayout(512 * 2 ** 20), cpus: 2, serialPorts: 2 };
const boards: [string, AcpiBoard][] = [
  ['one CPU', { ...board, cpus: 1, serialPorts: 1 }],
  ['two CPUs, 8 GiB', { ...board, ram: ramLayout(8 * 2 ** 30) }],
  ['255 CPUs, no serial port', { ...board, cpus: 255, serialPorts: 0 }],
  ['virtio over MMIO', { ...board, mmioDevices: 8 }],
  ['PIRQs at the IOAPIC', { ...board, pirqGsiBase: 16 }],
];
const BASE = 0x1fff_0000;
const RSDP = 0xf_5a10;

const sum = (data: Uint8Array) => data.reduce((a, b) => (a + b) & 0xff, 0);
const signature = (data: Uint8Array) => Buffer.from(data.subarray(0, 4)).toString('latin1');

/** As an operating system walks them: RSDP, XSDT (or RSDT), FADT, DSDT and FACS. */
function walk(rsdp: Uint8Array, memory: Uint8Array, base: number, useXsdt: boolean) {
  const at = (gpa: number): Uint8Array => {
    assert.ok(gpa >= base && gpa < base + memory.length, `${gpa.toString(16)} is no table`);
    const rest = memory.subarray(gpa - base);
    const table = rest.subarray(0, viewOf(rest).getUint32(4, true));
    if (signature(table) !== 'FACS') assert.equal(sum(table), 0, `checksum of ${signature(table)}`);
    return table;
  };
  assert.equal(Buffer.from(rsdp.subarray(0, 8)).toString('latin1'), 'RSD PTR ');
  assert.equal(sum(rsdp.subarray(0, 20)), 0);
  assert.equal(sum(rsdp), 0);
  const view = viewOf(rsdp);
  const root = at(useXsdt ? Number(view.getBigUint64(24, true)) : view.getUint32(16, true));
  assert.equal(signature(root), useXsdt ? 'XSDT' : 'RSDT');
  const tables = new Map<string, Uint8Array>();
  for (let i = 36; i < root.length; i += useXsdt ? 8 : 4) {
    const list = viewOf(root);
    const table = at(useXsdt ? Number(list.getBigUint64(i, true)) : list.getUint32(i, true));
    tables.set(signature(table), table);
  }
  const fadt = viewOf(tables.get('FACP')!);
  tables.set('FACS', at(fadt.getUint32(36, true)));
  tables.set('DSDT', at(fadt.getUint32(40, true)));
  assert.equal(Number(fadt.getBigUint64(140, true)), fadt.getUint32(40, true), 'X_DSDT');
  return tables;
}

function placed(which: AcpiBoard) {
  const writes = placeTables(acpiTables(which), { [TABLES_FILE]: BASE, [RSDP_FILE]: RSDP });
  const find = (gpa: number) => writes.find((write) => write.gpa === gpa)!.data;
  return { rsdp: find(RSDP), tables: find(BASE) };
}

for (const [name, which] of boards) {
  for (const useXsdt of [true, false]) {
    test(`${name}: every table is found by the ${useXsdt ? 'XSDT' : 'RSDT'}, checksums right`, () => {
      const { rsdp, tables } = placed(which);
      const found = walk(rsdp, tables, BASE, useXsdt);
      assert.deepEqual([...found.keys()].sort(), ['APIC', 'DSDT', 'FACP', 'FACS', 'WAET']);
    });
  }
}

test('FADT: the fixed registers of PIIX4 and the reset register', () => {
  const { rsdp, tables } = placed(board);
  const fadt = viewOf(walk(rsdp, tables, BASE, true).get('FACP')!);
  assert.equal(fadt.getUint8(8), 3);
  assert.equal(fadt.byteLength, 244);
  assert.equal(fadt.getUint16(46, true), 9);
  assert.deepEqual(
    [fadt.getUint32(48, true), fadt.getUint8(52), fadt.getUint8(53)],
    [0xb2, 0xf1, 0xf0],
  );
  const blocks = [56, 64, 76].map((at) => fadt.getUint32(at, true));
  assert.deepEqual(blocks, [0x600, 0x604, 0x608]);
  for (const [generic, port, bits] of [
    [148, 0x600, 32],
    [172, 0x604, 16],
    [208, 0x608, 32],
    [116, 0xcf9, 8],
  ]) {
    assert.equal(fadt.getUint8(generic), 1, 'system I/O');
    assert.equal(fadt.getUint8(generic + 1), bits);
    assert.equal(fadt.getBigUint64(generic + 4, true), BigInt(port));
  }
  assert.equal(fadt.getUint8(128), 6);
  const flags = fadt.getUint32(112, true);
  assert.ok(flags & (1 << 10), 'RESET_REG_SUP');
  assert.ok(!(flags & (1 << 4)), 'the power button is the fixed one');
  assert.ok(!(flags & (1 << 8)), 'the PM timer has 24 bits');
});

test('MADT: APICs, the PIT on pin 2, level-triggered PCI interrupts and SCI', () => {
  const { rsdp, tables } = placed(board);
  const madt = walk(rsdp, tables, BASE, true).get('APIC')!;
  const entries: number[][] = [];
  for (let at = 44; at < madt.length; at += madt[at + 1]) {
    assert.ok(madt[at + 1] >= 2);
    entries.push([...madt.subarray(at, at + madt[at + 1])]);
  }
  const of = (type: number) => entries.filter((entry) => entry[0] === type);
  assert.deepEqual(
    of(0).map((entry) => [entry[3], entry[4]]),
    [
      [0, 1],
      [1, 1],
    ],
  );
  assert.deepEqual(of(1), [[1, 12, 0, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0]]);
  assert.deepEqual(
    of(2).map((entry) => [entry[3], entry[4], entry[8]]),
    [
      [0, 2, 0],
      [5, 5, 0x0d],
      [9, 9, 0x0d],
      [10, 10, 0x0d],
      [11, 11, 0x0d],
    ],
  );
  assert.equal(of(4).length, 1);
});

test('the FACS is 64-byte aligned wherever the file is', () => {
  const { rsdp, tables } = placed(board);
  assert.equal(walk(rsdp, tables, BASE, true).get('FACS')!.byteOffset % 64, 0);
  assert.ok(acpiTables(board).files.some((file) => file.name === TABLES_FILE && file.align === 64));
});

/** What SeaBIOS does with the commands (romfile_loader.c), at addresses of our choosing. */
function runLoader(files: FwCfgFile[], places: Record<string, number>): Map<string, Uint8Array> {
  const loaded = new Map<string, Uint8Array>();
  const script = files.find((file) => file.name === LOADER_FILE)!.data;
  assert.equal(script.length % 128, 0);
  for (let at = 0; at < script.length; at += 128) {
    const entry = script.subarray(at, at + 128);
    const view = viewOf(entry);
    const text = (from: number) =>
      Buffer.from(entry.subarray(from, from + 56))
        .toString('latin1')
        .replace(/\0.*$/s, '');
    const file = text(4);
    const command = view.getUint32(0, true);
    if (command === 1) {
      const align = view.getUint32(60, true);
      assert.ok(align > 0 && (align & (align - 1)) === 0 && places[file] % align === 0);
      assert.equal(entry[64], file === RSDP_FILE ? 2 : 1, 'zone');
      loaded.set(file, files.find((one) => one.name === file)!.data.slice());
    } else if (command === 2) {
      const target = viewOf(loaded.get(file)!);
      const offset = view.getUint32(116, true);
      const base = BigInt(places[text(60)]);
      assert.ok(loaded.has(text(60)));
      if (entry[120] === 4) {
        target.setUint32(offset, target.getUint32(offset, true) + Number(base), true);
      } else {
        assert.equal(entry[120], 8);
        target.setBigUint64(offset, target.getBigUint64(offset, true) + base, true);
      }
    } else {
      assert.equal(command, 3);
      const data = loaded.get(file)!;
      const [offset, start, length] = [60, 64, 68].map((i) => view.getUint32(i, true));
      data[offset] -= sum(data.subarray(start, start + length));
    }
  }
  return loaded;
}

for (const [name, which] of boards) {
  test(`${name}: firmware's table loader and placeTables give the same bytes`, () => {
    const loaded = runLoader(fwCfgTables(acpiTables(which)), {
      [TABLES_FILE]: BASE,
      [RSDP_FILE]: RSDP,
    });
    const { rsdp, tables } = placed(which);
    assert.deepEqual(loaded.get(RSDP_FILE), rsdp);
    assert.deepEqual(loaded.get(TABLES_FILE), tables);
  });
}

const iasl = spawnSync('iasl', ['-v']).error ? 'iasl (acpica-tools) is not installed' : false;

for (const [name, which] of boards) {
  test(`${name}: iasl disassembles every table and compiles the DSDT again`, { skip: iasl }, () => {
    const folder = mkdtempSync(join(tmpdir(), 'chassis-acpi-'));
    try {
      const { rsdp, tables } = placed(which);
      for (const [table, data] of walk(rsdp, tables, BASE, true)) {
        const file = join(folder, `${table}.dat`);
        writeFileSync(file, data);
        const said = execFileSync('iasl', ['-d', file], { encoding: 'utf8', stdio: 'pipe' });
        assert.doesNotMatch(said, /error|warning|could not|invalid/i);
        const source = readFileSync(join(folder, `${table}.dsl`), 'latin1');
        assert.doesNotMatch(source, /invalid|unknown|incorrect/i);
      }
      const source = join(folder, 'DSDT.dsl');
      const said = execFileSync('iasl', ['-oa', source], { encoding: 'utf8', stdio: 'pipe' });
      assert.match(said, /Compilation successful\. 0 Errors, 0 Warnings/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
}
