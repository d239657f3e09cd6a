/** A thread that translates guest code: gets jobs, answers with compiled modules. */
import { getPriority, setPriority } from 'node:os';
import {
  type MessagePort,
  parentPort,
  receiveMessageOnPort,
  workerData,
} from 'node:worker_threads';
import { Decoder } from '../../cpu/isa/decode.js';
import { instructionTable } from '../../cpu/isa/index.js';
import type { ThreadSetup } from '../../engine/soft/soft-code.js';
import { type Job, TranslatorQueue } from '../../engine/soft/translator-queue.js';

/** Behind the guest's thread: enough to give way, not enough to starve beside other work. */
const NICE = 5;

// On Linux this is the thread's own: where there are not cores enough the guest goes first.
setPriority(Math.min(19, getPriority() + NICE));

const port = parentPort as MessagePort;
const { memory, ...setup } = workerData as ThreadSetup;

const queue = new TranslatorQueue(
  new Decoder(instructionTable),
  { ...setup, memory: new DataView(memory.buffer) },
  (wasm) => new WebAssembly.Module(wasm),
  () => performance.now() * 1e6,
);

port.on('message', (job: Job) => {
  queue.add(job);
  for (;;) {
    // What came meanwhile may share a module.
    for (let more = receiveMessageOnPort(port); more; more = receiveMessageOnPort(port)) {
      queue.add(more.message as Job);
    }
    const finished = queue.next();
    if (!finished) return;
    port.postMessage(finished);
  }
});
