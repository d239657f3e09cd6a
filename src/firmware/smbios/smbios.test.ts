import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { viewOf } from '../bytes.js';
import { ramLayout } from '../e820.js';
import { fwCfgSmbios, placeSmbios, smbiosTables } from './smbios.js';

const GIB = 2 ** 30;
const uuid = Uint8Array.from({ length: 16 }, (_, i) => i * 0x11);
const board = { ram: ramLayout(8 * GIB), cpus: 4, uuid };
const sum = (data: Uint8Array) => data.reduce((a, b) => (a + b) & 0xff, 0);

type Structure = { type: number; handle: number; formatted: Uint8Array; strings: string[] };

function parse(data: Uint8Array): Structure[] {
  const list: Structure[] = [];
  for (let at = 0; at < data.length; ) {
    const formatted = data.subarray(at, at + data[at + 1]);
    let end = at + formatted.length;
    while (data[end] !== 0 || data[end + 1] !== 0) end++;
    const text = Buffer.from(data.subarray(at + formatted.length, end)).toString();
    list.push({
      type: formatted[0],
      handle: viewOf(formatted).getUint16(2, true),
      formatted,
      strings: text.split('\0'),
    });
    at = end + 2;
  }
  return list;
}

test('the structures a PC has to have, in order, with handles of their own', () => {
  const list = parse(smbiosTables(board).structures);
  assert.deepEqual(
    list.map(({ type }) => type),
    [0, 1, 3, 4, 16, 17, 19, 19, 32, 127],
  );
  assert.equal(new Set(list.map(({ handle }) => handle)).size, list.length);
  // Lengths of version 2.8. [SMBIOS 7]
  assert.deepEqual(
    list.map(({ formatted }) => formatted.length),
    [0x18, 0x1b, 0x16, 0x2a, 0x17, 0x28, 0x1f, 0x1f, 0x0b, 4],
  );
});

test('memory: the array has it all, the maps follow the PCI hole', () => {
  const list = parse(smbiosTables(board).structures);
  const array = viewOf(list.find(({ type }) => type === 16)!.formatted);
  assert.equal(array.getUint32(7, true), (8 * GIB) / 1024);
  const module = viewOf(list.find(({ type }) => type === 17)!.formatted);
  assert.equal(module.getUint16(12, true), 8192);
  const maps = list.filter(({ type }) => type === 19).map(({ formatted }) => viewOf(formatted));
  const ranges = maps.map((view) => [view.getUint32(4, true), view.getUint32(8, true)]);
  assert.deepEqual(ranges, [
    [0, 0xe000_0000 / 1024 - 1],
    [(4 * GIB) / 1024, (8.5 * GIB) / 1024 - 1],
  ]);
});

test('memory beyond 32 GiB uses the extended sizes', () => {
  const list = parse(smbiosTables({ ...board, ram: ramLayout(3 * 2 ** 40) }).structures);
  const array = viewOf(list.find(({ type }) => type === 16)!.formatted);
  assert.equal(array.getUint32(7, true), 0x8000_0000);
  assert.equal(array.getBigUint64(15, true), BigInt(3 * 2 ** 40));
  const module = viewOf(list.find(({ type }) => type === 17)!.formatted);
  assert.equal(module.getUint16(12, true), 0x7fff);
  assert.equal(module.getUint32(28, true), 3 * 2 ** 20);
});

test('the entry point: both checksums, before and after it is placed', () => {
  const tables = smbiosTables(board);
  const [entry, structures] = placeSmbios(tables, 0xf_0000);
  for (const anchor of [tables.anchor, entry.data]) {
    assert.equal(sum(anchor), 0);
    assert.equal(sum(anchor.subarray(16)), 0);
    assert.equal(viewOf(anchor).getUint16(22, true), tables.structures.length);
    assert.equal(viewOf(anchor).getUint16(28, true), 10);
  }
  assert.equal(viewOf(tables.anchor).getUint32(24, true), 0);
  assert.equal(viewOf(entry.data).getUint32(24, true), structures.gpa);
  assert.ok(structures.gpa >= entry.gpa + entry.data.length);
});

test('fw_cfg: the names that SeaBIOS and OVMF ask for', () => {
  const names = fwCfgSmbios(smbiosTables(board)).map(({ name }) => name);
  assert.deepEqual(names, ['etc/smbios/smbios-tables', 'etc/smbios/smbios-anchor']);
});

const dmidecode = spawnSync('dmidecode', ['-V']).error ? 'dmidecode is not installed' : false;

test('dmidecode understands every structure', { skip: dmidecode }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'chassis-smbios-'));
  try {
    // dmidecode's own dump format: the entry point at 0, the structures at 32.
    const dump = new Uint8Array(0x1_0000);
    for (const { gpa, data } of placeSmbios(smbiosTables(board), 0)) dump.set(data, gpa);
    const file = join(folder, 'dump');
    writeFileSync(file, dump);
    const said = execFileSync('dmidecode', ['--from-dump', file], { encoding: 'utf8' });
    assert.match(said, /SMBIOS 2\.8 present/);
    assert.match(said, /UUID: 00112233-4455-6677-8899-aabbccddeeff/i);
    assert.match(said, /Size: 8 GB/);
    assert.match(said, /Core Count: 4/);
    assert.match(said, /Range Size: 3584 MB/);
    assert.doesNotMatch(said, /out of spec|bad index|truncated|invalid|broken/i);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
