import assert from 'node:assert/strict';
import test from 'node:test';
import { conform } from '../../device/conformance.js';
import { Debugcon } from './debugcon.js';

conform(test, () => new Debugcon({ sink: { write() {} } }));

test('debugcon: answers as present and passes bytes on', () => {
  let text = '';
  const port = new Debugcon({ sink: { write: (b) => (text += String.fromCharCode(b)) } });
  assert.equal(port.read(), 0xe9);
  for (const c of 'SeaBIOS\n') port.write(0, 0, 1, c.charCodeAt(0));
  assert.equal(text, 'SeaBIOS\n');
});
