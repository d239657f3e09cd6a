import { write, writev } from 'node:fs';

interface Request {
  readonly offset: number;
  readonly bytes: Uint8Array;
  resolve(): void;
  reject(error: unknown): void;
}

/** So much goes to one thread of the pool; more would keep the others idle. */
const groupBytes = 512 << 10;
const groupCount = 64;

/**
 * Writes to a file. Those that are asked for in one turn of the event loop and follow each other in
 * the file go to the host as one call: waking a thread of the pool costs as much as 20 KiB of copying.
 */
export class WriteQueue {
  private waiting: Request[] = [];

  constructor(private readonly fd: number) {}

  write(offset: number, bytes: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.waiting.push({ offset, bytes, resolve, reject }) > 1) return;
      // After all promises that are settled by now had their say.
      process.nextTick(() => this.send());
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
    const [{ offset, bytes }] = group as readonly [Request];
    const total = group.reduce((sum, request) => sum + request.bytes.length, 0);
    const done = (error: Error | null, count: number) => {
      if (error === null && count === total) for (const request of group) request.resolve();
      else if (group.length === 1 && error !== null) group[0]!.reject(error);
      else if (group.length === 1 && count === 0)
        group[0]!.reject(new Error('nothing was written'));
      else if (group.length === 1) this.sendGroup([rest(group[0]!, count)]);
      // Each learns by itself what becomes of it.
      else for (const request of group) this.sendGroup([request]);
    };
    if (group.length === 1) write(this.fd, bytes, 0, bytes.length, offset, done);
    else
      writev(
        this.fd,
        group.map((request) => request.bytes),
        offset,
        done,
      );
  }
}

/** What a write that was cut short has left to do. */
function rest(request: Request, done: number): Request {
  const { offset, bytes, resolve, reject } = request;
  return { offset: offset + done, bytes: bytes.subarray(done), resolve, reject };
}
