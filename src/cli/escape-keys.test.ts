import assert from 'node:assert/strict';
import test from 'node:test';
import { EscapeKeys } from './escape-keys.js';

function typed(...keys: string[]): { guest: string; commands: string[] } {
  const commands: string[] = [];
  const escapes = new EscapeKeys((command) => commands.push(command));
  let guest = '';
  for (const text of keys) {
    const bytes = escapes.filter(Uint8Array.from(text, (c) => c.charCodeAt(0)));
    guest += String.fromCharCode(...bytes);
  }
  return { guest, commands };
}

test('what has no Ctrl-A is the guest’s, Ctrl-C too', () => {
  assert.deepEqual(typed('ls\r\x03'), { guest: 'ls\r\x03', commands: [] });
});

test('Ctrl-A x ends, also when the two keys come apart', () => {
  assert.deepEqual(typed('a\x01xb'), { guest: 'ab', commands: ['quit'] });
  assert.deepEqual(typed('a\x01', 'xb'), { guest: 'ab', commands: ['quit'] });
});

test('Ctrl-A h and Ctrl-A ? help; Ctrl-A Ctrl-A is one for the guest; others are dropped', () => {
  assert.deepEqual(typed('\x01h\x01?'), { guest: '', commands: ['help', 'help'] });
  assert.deepEqual(typed('\x01\x01x'), { guest: '\x01x', commands: [] });
  assert.deepEqual(typed('\x01qz'), { guest: 'z', commands: [] });
});
