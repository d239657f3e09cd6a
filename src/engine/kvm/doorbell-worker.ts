import { workerData } from 'node:worker_threads';
import { type BellThreadStart, bellWord, QUIT } from './doorbells.js';
import { EINTR, lastError, libc } from './libc.js';
import { EPOLL_EVENT_BYTES, epollEvent } from './registers.js';

const EVENTS = 64;

const { epoll, words } = workerData as BellThreadStart;
const c = libc();
const events = new Uint8Array(EVENTS * EPOLL_EVENT_BYTES);
const view = new DataView(events.buffer);

for (let over = false; !over; ) {
  const count = c.epollWait(epoll, events, EVENTS, -1);
  if (count < 0 && lastError() !== EINTR) break;
  for (let i = 0; i < count; i++) {
    const bell = view.getUint32(i * EPOLL_EVENT_BYTES + epollEvent.data, true);
    if (bell === QUIT) over = true;
    else Atomics.or(words, bellWord(bell), 1 << (bell & 31));
  }
  Atomics.add(words, 0, 1);
  Atomics.notify(words, 0);
}
