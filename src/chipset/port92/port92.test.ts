import assert from 'node:assert/strict';
import test from 'node:test';
import { conform } from '../../device/conformance.js';
import { RecordingLine } from '../../device/irq.js';
import { Port92 } from './port92.js';

conform(test, (ctx) => new Port92({ a20: ctx.line('a20'), reset() {} }));

test('port92: bit 1 is the A20 line and reads back', () => {
  const a20 = new RecordingLine();
  const port = new Port92({ a20, reset: () => assert.fail('no reset was asked for') });
  port.write(0, 0, 1, 0x02);
  assert.equal(a20.high, true);
  assert.equal(port.read(), 0x02);
  port.write(0, 0, 1, 0x00);
  assert.equal(a20.high, false);
});

test('port92: a rising bit 0 resets once, a bit that stays does not', () => {
  let resets = 0;
  const port = new Port92({ a20: new RecordingLine(), reset: () => resets++ });
  port.write(0, 0, 1, 0x03);
  port.write(0, 0, 1, 0x03);
  assert.equal(resets, 1);
  port.write(0, 0, 1, 0x02);
  port.write(0, 0, 1, 0x01);
  assert.equal(resets, 2);
});
