import { workerData } from 'node:worker_threads';
import { lastError, libc } from './libc.js';
import { KICK_SIGNAL, type ThreadStart, turn, word } from './mailbox.js';
import { ioctl } from './registers.js';

/** Looks between two looks at the clock. */
const LOOKS = 64;

const { fd, words, spinNs } = workerData as ThreadStart;
const c = libc();
c.ignoreGently(KICK_SIGNAL);
Atomics.store(words, word.threadId, c.gettid());

/** Spins a while and then sleeps until it is not the machine's turn. */
function waitForTurn(): number {
  const end = performance.now() + spinNs / 1e6;
  do {
    for (let i = 0; i < LOOKS; i++) {
      const now = Atomics.load(words, word.turn);
      if (now !== turn.machine) return now;
    }
  } while (performance.now() < end);
  Atomics.wait(words, word.turn, turn.machine);
  return Atomics.load(words, word.turn);
}

for (;;) {
  const now = waitForTurn();
  if (now === turn.over) break;
  if (now !== turn.guest) continue;
  const answer = c.ioctlNumber(fd, ioctl.RUN, 0);
  Atomics.store(words, word.error, answer < 0 ? lastError() : 0);
  // The end may have been asked for meanwhile.
  Atomics.compareExchange(words, word.turn, turn.guest, turn.machine);
  Atomics.notify(words, word.turn);
}
