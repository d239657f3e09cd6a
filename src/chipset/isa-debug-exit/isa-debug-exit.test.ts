import assert from 'node:assert/strict';
import test from 'node:test';
import { conform } from '../../device/conformance.js';
import { IsaDebugExit } from './isa-debug-exit.js';

conform(test, () => new IsaDebugExit({ exit() {} }));

test('isa-debug-exit: the status is twice the value plus one', () => {
  const seen: number[] = [];
  const device = new IsaDebugExit({ exit: (status) => seen.push(status) });
  device.write(0, 0, 4, 0);
  device.write(0, 0, 1, 0x10);
  device.write(0, 0, 4, 0xffff_ffff);
  assert.deepEqual(seen, [1, 0x21, 0xffff_ffff]);
});
