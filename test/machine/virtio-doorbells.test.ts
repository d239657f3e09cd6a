import assert from 'node:assert/strict';
import test from 'node:test';
import { type Doorbell, EngineError } from '#src/engine/engine.js';
import { VirtioDoorbells } from '#src/machine/virtio-doorbells.js';

const START = 0x3000;

test('doorbells follow the BAR, and ring the queue’s offset', () => {
  const bells = new Map<number, () => void>();
  const vm = {
    doorbell({ space, address, size, value }: Doorbell, ring: () => void) {
      assert.deepEqual([space, size, value], ['mmio', 2, bells.size]);
      bells.set(address, ring);
      return () => bells.delete(address);
    },
  };
  const rung: number[] = [];
  const doorbells = new VirtioDoorbells(vm, 2, (offset, queue) => rung.push(offset, queue));
  doorbells.move(0xf000_0000);
  assert.deepEqual([...bells.keys()], [0xf000_0000 + START, 0xf000_0000 + START + 4]);
  bells.get(0xf000_0000 + START + 4)!();
  assert.deepEqual(rung, [START + 4, 1]);
  doorbells.move(0x8_0000_0000);
  assert.deepEqual([...bells.keys()], [0x8_0000_0000 + START, 0x8_0000_0000 + START + 4]);
  doorbells.move(undefined);
  assert.equal(bells.size, 0);
});

test('a place that is taken, or an engine without doorbells, is no error', () => {
  const taken = () => {
    throw new EngineError('limit', 'EEXIST');
  };
  new VirtioDoorbells({ doorbell: taken }, 1, () => {}).move(0xf000_0000);
  new VirtioDoorbells({}, 1, () => {}).move(0xf000_0000);
});
