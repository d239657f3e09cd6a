import { read, readv, write, writev } from 'node:fs';

interface Request {
  readonly offset: number;
  readonly bytes: Uint8Array;
  resolve(count: number): void;
  reject(error: unknown): void;
}

/** So much goes to one thread of the pool; more would keep the others idle. */
const groupBytes = 512 << 10;
const groupCount = 64;

/**
 * Reads of a file, or writes to it. Those that are asked for in one turn of the event loop while others
 * are under way, and that follow each other in the file, go to the host as one call: waking a thread of
 * the pool costs as much as 20 KiB of copying.
 */
export class TransferQueue {
  private waiting: Request[] = [];
  private active = 0;
  constructor(
    private readonly fd: number,
    private readonly isWrite: boolean,
  ) {}

  /** Answers how many bytes were moved, as the host's call does. */
  move(offset: number, bytes: Uint8Array): Promise<number> {
    return new Promise((resolve, reject) => {
      if (this.waiting.push({ offset, bytes, resolve, reject }) > 1) return;
      if (this.active === 0) this.send();
      // After all promises that are settled by now had their say.
      else process.nextTick(() => this.send());
    });
  }

  private send(): void {
    const requests = this.waiting.sort((a, b) => a.offset - b.offset);
    this.waiting = [];
    for (let first = 0; first < requests.length; ) {
      let last = first;
      let end = requests[first]!.offset;
      do end += requests[last++]!.bytes.length;
      while (
        last < requests.length &&
        requests[last]!.offset === end &&
        last - first < groupCount &&
        end - requests[first]!.offset + requests[last]!.bytes.length <= groupBytes
      );
      this.sendGroup(requests.slice(first, last));
      first = last;
    }
  }

  private sendGroup(group: readonly Request[]): void {
    const [{ offset, bytes, resolve, reject }] = group as readonly [Request];
    const total = group.reduce((sum, request) => sum + request.bytes.length, 0);
    this.active++;
    const done = (error: Error | null, count: number) => {
      this.active--;
      if (error === null && count === total) {
        for (const request of group) request.resolve(request.bytes.length);
      } else if (group.length > 1) {
        // Each learns by itself what becomes of it.
        for (const request of group) this.sendGroup([request]);
      } else if (error === null) resolve(count);
      else reject(error);
    };
    const { fd, isWrite } = this;
    const pieces = group.map((request) => request.bytes);
    if (group.length > 1) (isWrite ? writev : readv)(fd, pieces, offset, done);
    else if (isWrite) write(fd, bytes, 0, bytes.length, offset, done);
    else read(fd, bytes, 0, bytes.length, offset, done);
  }
}
