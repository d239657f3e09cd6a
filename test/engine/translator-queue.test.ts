import assert from 'node:assert/strict';
import test from 'node:test';
import { Decoder } from '#src/cpu/isa/decode.js';
import { instructionTable } from '#src/cpu/isa/index.js';
import * as L from '#src/cpu/state/layout.js';
import { TranslatorQueue } from '#src/engine/soft/translator-queue.js';

test('code of a module that is on its way is not translated again, by a thread that was started anew too', () => {
  const place = L.VCPU_AREA + L.VCPU_STRIDE + 0x1000;
  const bytes = new Uint8Array(place + 0x1000);
  // dec ecx; jnz to it; hlt
  bytes.set([0xff, 0xc9, 0x75, 0xfc, 0xf4], place);
  const memory = new DataView(bytes.buffer);
  const setup = { memory, cpu: L.VCPU_AREA, alone: true, kind: 'plain' } as const;
  const queue = new TranslatorQueue(
    new Decoder(instructionTable),
    setup,
    (wasm) => wasm,
    () => 0,
  );
  const key = 2 | L.KEY_CODE | L.KEY_STACK;
  const found = (seen: number): number => {
    queue.add({ place, rip: 0x1000n, key, stamp: 0, seen });
    return queue.next()!.found.length;
  };
  // The guest has had five modules, of a thread that is no more.
  assert.equal(found(5), 1);
  assert.equal(found(5), 0);
  assert.equal(found(6), 1);
});
