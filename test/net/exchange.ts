import { createHash } from 'node:crypto';
import type { Socket } from 'node:net';
import { Random } from '../disk/random.js';

const DIGITS = 12;

/**
 * Sends random bytes in pieces of random length, closes, and reads to the end. Answers `SENT RECEIVED`, digests of both.
 */
export async function exchange(socket: Socket, seed: number, most = 8_000_000): Promise<string> {
  const random = new Random(seed);
  const sent = createHash('sha256');
  const received = createHash('sha256');
  const ended = new Promise<void>((resolve, reject) => {
    socket.on('data', (bytes) => received.update(bytes));
    socket.on('end', resolve);
    socket.on('error', reject);
  });
  for (let left = random.below(most); left > 0; ) {
    const piece = new Uint32Array(Math.ceil(random.pick([4, 1000, 50_000, 300_000]) / 4));
    for (let i = 0; i < piece.length; i++) piece[i] = random.next() * 2 ** 32;
    const bytes = new Uint8Array(piece.buffer).subarray(0, left);
    left -= bytes.length;
    sent.update(bytes);
    if (!socket.write(bytes)) await new Promise((resolve) => socket.once('drain', resolve));
  }
  socket.end();
  await ended;
  const digest = (hash: typeof sent) => hash.digest('hex').slice(0, DIGITS);
  return `${digest(sent)} ${digest(received)}`;
}
