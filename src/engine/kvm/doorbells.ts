import { Worker } from 'node:worker_threads';
import type { Doorbell } from '../engine.js';
import { checked, structure } from './arguments.js';
import { atExit } from './at-exit.js';
import { EFD_CLOEXEC, EFD_NONBLOCK, type Libc } from './libc.js';
import * as r from './registers.js';
import { whenChanged } from './wait-async.js';

/** Bits of this many eventfds are in the words behind the first, which counts rounds. */
const MAX_BELLS = 1024;
export const QUIT = 0xffff_ffff;

export function bellWord(bell: number): number {
  return 1 + (bell >> 5);
}

/** What the reader gets at its start. */
export interface BellThreadStart {
  readonly epoll: number;
  readonly words: Int32Array;
}

/**
 * Writes of a guest that are signals only: the kernel turns each into a count on an eventfd, and the vCPU
 * goes on. One thread waits for all eventfds of a VM in one system call, so that nothing is spent
 * while nothing rings; edges are enough, and nobody ever reads a count.
 */
export class KvmDoorbells {
  private readonly words = new Int32Array(new SharedArrayBuffer(4 * (1 + MAX_BELLS / 32)));
  private readonly fds = new Set<number>();
  private readonly rings = new Map<number, () => void>();
  private readonly epoll: number;
  private readonly quit: number;
  private readonly forget: () => void;
  private seen = 0;
  private closed = false;

  constructor(
    private readonly c: Libc,
    private readonly vmFd: number,
  ) {
    this.epoll = checked(c.epollCreate(EFD_CLOEXEC), 'an epoll');
    this.quit = this.watch(QUIT);
    const workerData: BellThreadStart = { epoll: this.epoll, words: this.words };
    const url = new URL('./doorbell-worker.js', import.meta.url);
    const worker = new Worker(url, { workerData, name: 'doorbells' });
    worker.unref();
    worker.once('exit', () => {
      for (const fd of [this.epoll, ...this.fds]) c.close(fd);
    });
    this.forget = atExit(() => this.close());
    this.listen();
  }

  /** The answer takes it away again. Throws EngineError. */
  add(bell: Doorbell, ring: () => void): () => void {
    let id = 0;
    while (this.rings.has(id)) id++;
    const fd = this.watch(checked(id < MAX_BELLS ? id : -1, 'one more doorbell'));
    this.assign(bell, fd, 0);
    this.rings.set(id, ring);
    return () => {
      if (this.closed || !this.rings.delete(id)) return;
      this.assign(bell, fd, r.ioeventfd.DEASSIGN);
      this.fds.delete(fd);
      this.c.close(fd);
    };
  }

  /** Rings what has been rung since. */
  deliver(): void {
    const round = Atomics.load(this.words, 0);
    if (round === this.seen) return;
    this.seen = round;
    for (let word = 1; word < this.words.length; word++) {
      let bits = Atomics.exchange(this.words, word, 0);
      while (bits !== 0) {
        const bit = 31 - Math.clz32(bits);
        bits &= ~(1 << bit);
        this.rings.get((word - 1) * 32 + bit)?.();
      }
    }
  }

  /** Rings everything: what a vCPU that stopped just now has rung may still be on its way. */
  ringAll(): void {
    this.deliver();
    for (const ring of [...this.rings.values()]) ring();
  }

  private listen(): void {
    whenChanged(this.words, 0, this.seen, () => {
      if (this.closed) return;
      this.deliver();
      this.listen();
    });
  }

  private watch(bell: number): number {
    const { c } = this;
    const fd = checked(c.eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), 'an eventfd');
    this.fds.add(fd);
    const { events, data, IN, EDGE, ADD } = r.epollEvent;
    const event = structure(r.EPOLL_EVENT_BYTES, events, IN | EDGE, data, bell);
    checked(c.epollControl(this.epoll, ADD, fd, event), 'an eventfd');
    return fd;
  }

  private assign({ space, address, size, value }: Doorbell, fd: number, flags: number): void {
    const { DATAMATCH, PIO, datamatch, addr, len, fd: fdAt, flags: flagsAt } = r.ioeventfd;
    const kind = (space === 'port' ? PIO : 0) | (value === undefined ? 0 : DATAMATCH);
    const bell = structure(
      r.sizeOf.ioeventfd,
      ...[datamatch, BigInt(value ?? 0), addr, BigInt(address), len, size, fdAt, fd],
      ...[flagsAt, flags | kind],
    );
    const place = `${space} 0x${address.toString(16)}`;
    checked(this.c.ioctl(this.vmFd, r.ioctl.IOEVENTFD, bell), `a doorbell at ${place}`);
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.forget();
    this.c.eventfdWrite(this.quit, 1);
    // The waiting main thread's own promise is let go.
    Atomics.add(this.words, 0, 1);
    Atomics.notify(this.words, 0);
  }
}
