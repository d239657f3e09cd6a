import { parentPort, workerData } from 'node:worker_threads';
import { type TapStart, tapWord } from './host-tap.js';
import { netCalls } from './net-calls.js';

const { fd, words } = workerData as TapStart;
const calls = netCalls();
const buffer = new Uint8Array(65_536 + 1024);
/** As many frames may be on their way to the machine's thread. */
const MAX_SENT = 1024;
const WAIT_MS = 100;
const POLLIN = 1;
/** The interface is gone. */
const POLLERR_HUP_NVAL = 0x38;

const entry = new Uint8Array(8);
const view = new DataView(entry.buffer);
view.setInt32(0, fd, true);
view.setInt16(4, POLLIN, true);

while (Atomics.load(words, tapWord.isOver) === 0) {
  const taken = Atomics.load(words, tapWord.taken);
  if (((Atomics.load(words, tapWord.sent) - taken) | 0) >= MAX_SENT) {
    Atomics.wait(words, tapWord.taken, taken, WAIT_MS);
    continue;
  }
  const count = calls.read(fd, buffer, buffer.length);
  if (count > 0) {
    Atomics.add(words, tapWord.sent, 1);
    const frame = buffer.slice(0, count);
    parentPort?.postMessage(frame, [frame.buffer]);
    continue;
  }
  calls.poll(entry, 1, WAIT_MS);
  if ((view.getInt16(6, true) & POLLERR_HUP_NVAL) !== 0) break;
}
