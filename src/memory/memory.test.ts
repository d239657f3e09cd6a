import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { flatten, type Mapping } from './layers.js';
import { PhysicalMemory } from './physical-memory.js';

const page = 4096;
const slot = (id: number, gpa: number, sizeBytes: number, place: number, readonly = false) => ({
  id,
  gpa: gpa * page,
  sizeBytes: sizeBytes * page,
  place: place * page,
  readonly,
  log: false,
});

function memory() {
  const bytes = new Uint8Array(64 * page);
  return { bytes, start: page, end: bytes.length };
}

test('accesses cross slots, and gaps read as ones and drop writes', () => {
  const host = memory();
  const writes: number[][] = [];
  const physical = new PhysicalMemory(host, (...write) => writes.push(write));
  physical.set(slot(1, 0, 2, 8));
  physical.set(slot(2, 2, 1, 1));
  physical.set(slot(3, 5, 1, 20));
  assert.equal(physical.write(2 * page - 2, Uint8Array.of(1, 2, 3, 4)), true);
  assert.deepEqual(writes, [
    [2 * page - 2, 10 * page - 2, 2],
    [2 * page, page, 2],
  ]);
  const into = new Uint8Array(4);
  assert.equal(physical.read(2 * page - 2, into), true);
  assert.deepEqual([...into], [1, 2, 3, 4]);
  host.bytes[20 * page] = 9;
  assert.equal(physical.read(5 * page - 2, into), false);
  assert.deepEqual([...into], [0xff, 0xff, 9, 0]);
  assert.equal(physical.write(3 * page - 1, Uint8Array.of(7, 8)), false);
  assert.equal(host.bytes[2 * page - 1], 7);
  assert.equal(physical.read(2 ** 52, into), false);
});

test('two and four bytes in their places come whole, others as they are', () => {
  const host = memory();
  const physical = new PhysicalMemory(host);
  physical.set(slot(1, 0, 2, 8));
  for (let at = 0; at < 8; at++) {
    for (const length of [1, 2, 3, 4, 5, 8]) {
      const bytes = Uint8Array.from({ length }, (_, i) => 0xf1 + at + 3 * i);
      assert.ok(physical.write(at, bytes));
      assert.deepEqual(host.bytes.slice(8 * page + at, 8 * page + at + length), bytes);
      const into = new Uint8Array(length);
      assert.ok(physical.read(at, into));
      assert.deepEqual(into, bytes);
    }
  }
});

test('what is discarded is released slot by slot, ROM and gaps left out', () => {
  const writes: number[][] = [];
  const physical = new PhysicalMemory(memory(), (...write) => writes.push(write));
  physical.set(slot(1, 0, 2, 8));
  physical.set(slot(2, 2, 1, 1, true));
  physical.set(slot(3, 5, 1, 20));
  const released: number[][] = [];
  physical.discard(page, 5 * page, (bytes) => released.push([bytes.byteOffset, bytes.length]));
  assert.deepEqual(released, [
    [9 * page, page],
    [20 * page, page],
  ]);
  assert.equal(writes.length, 2);
});

test('ROM drops writes; a slot can be replaced and removed', () => {
  const host = memory();
  const physical = new PhysicalMemory(host);
  physical.set(slot(1, 0, 2, 8, true));
  assert.equal(physical.write(0, Uint8Array.of(1)), false);
  assert.equal(host.bytes[8 * page], 0);
  physical.set(slot(1, 1, 1, 9));
  assert.equal(physical.write(page, Uint8Array.of(1)), true);
  assert.equal(physical.write(0, Uint8Array.of(1)), false);
  physical.set(slot(1, 0, 0, 0));
  assert.equal(physical.write(page, Uint8Array.of(1)), false);
  assert.throws(() => physical.set(slot(1, 0, 64, 8)), /leaves/);
  physical.set(slot(1, 0, 2, 8));
  assert.throws(() => physical.set(slot(2, 1, 2, 12)), /overlap/);
});

test('flattened layers show what a page-by-page painting shows', () => {
  const mapping = fc.record({
    gpa: fc.integer({ min: 0, max: 12 }),
    sizeBytes: fc.integer({ min: 0, max: 8 }),
    place: fc.option(fc.integer({ min: 0, max: 5 }), { nil: undefined }),
    readonly: fc.boolean(),
    what: fc.constantFrom('a', 'b'),
  });
  fc.assert(
    fc.property(fc.array(mapping, { maxLength: 8 }), (layers) => {
      const paint = (list: Mapping[]) => {
        const cells: string[] = Array(24).fill('');
        for (const { gpa, sizeBytes, place, readonly, what } of list) {
          for (let i = 0; i < sizeBytes; i++) {
            cells[gpa + i] = place === undefined ? '' : `${place + i} ${readonly} ${what}`;
          }
        }
        return cells;
      };
      const flat = flatten(layers);
      assert.deepEqual(paint(flat), paint(layers));
      for (let i = 1; i < flat.length; i++) {
        assert.ok(flat[i - 1]!.gpa + flat[i - 1]!.sizeBytes <= flat[i]!.gpa);
      }
    }),
  );
});
