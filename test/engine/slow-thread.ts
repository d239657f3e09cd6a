import { Decoder } from '#src/cpu/isa/decode.js';
import { instructionTable } from '#src/cpu/isa/index.js';
import type { SoftCode, TranslatorThread } from '#src/engine/soft/soft-code.js';
import { SoftEngine } from '#src/engine/soft/soft-engine.js';
import { type Finished, TranslatorQueue } from '#src/engine/soft/translator-queue.js';
import { softCode } from './jit.js';

const decoder = new Decoder(instructionTable);
/** How often nothing is finished yet when the guest asks, again and again. */
const PATIENCE = [0, 3, 1, 0, 7, 2];

/**
 * A translator that does its work when it is asked for, in the same thread, and keeps the guest waiting: it may
 * change its code meanwhile. Not as a real thread, it does the same each time.
 */
const slowCode: SoftCode = {
  ...softCode,
  startTranslator({ memory, ...setup }): TranslatorThread {
    const compile = (wasm: Uint8Array) => wasm.slice();
    const view = new DataView(memory.buffer);
    const queue = new TranslatorQueue(decoder, { ...setup, memory: view }, compile, () => 0);
    const finished: Finished[] = [];
    let turn = 0;
    let patience = 0;
    return {
      request(job) {
        queue.add(job);
        if (turn++ % 3 === 0) return;
        for (let one = queue.next(); one; one = queue.next()) finished.push(one);
      },
      take() {
        if (patience-- > 0) return undefined;
        patience = PATIENCE[turn++ % PATIENCE.length]!;
        return finished.shift() ?? queue.next();
      },
      failure: undefined,
      close() {},
    };
  },
  instantiateModule: (module, imports) => softCode.instantiateBytes(module as Uint8Array, imports),
};

/** The soft engine with translations that come late. */
export function slowEngine(jitThreshold: number, jitCodeBytes: number): SoftEngine {
  return new SoftEngine(slowCode, { jit: 'on', jitThreshold, jitCodeBytes, jitBeside: true });
}
