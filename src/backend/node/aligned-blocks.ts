import { ftruncate, read, write } from 'node:fs';
import { promisify } from 'node:util';

/** What offset, length and place in memory of a direct transfer are multiples of; enough for all media. */
const blockBytes = 4096;
const bufferBytes = 512 << 10;
const mostBuffers = 8;

/** V8 puts a WebAssembly memory at the beginning of a page. */
function alignedBuffer(): Uint8Array {
  const pages = bufferBytes >> 16;
  return new Uint8Array(
    new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true }).buffer,
  );
}

/** Transfers of any offset and length by way of aligned buffers, for files opened with O_DIRECT. */
export class AlignedBlocks {
  private readonly buffers: Uint8Array[] = [];
  private readonly waiting: ((buffer: Uint8Array) => void)[] = [];
  private made = 0;
  /** Writes of parts of blocks, which are read first, and beyond the end take turns. */
  private turn: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly fd: number,
    /** Where the file ends. */
    public end: number,
  ) {}

  /** Answers how many bytes of `into` were filled; 0 at the file's end. */
  read(offset: number, into: Uint8Array): Promise<number> {
    return this.withBuffer(async (buffer) => {
      const first = offset - (offset % blockBytes);
      const got = await this.move(read, buffer, first, span(offset, into.length));
      const count = Math.max(0, Math.min(got - (offset - first), into.length));
      into.set(buffer.subarray(offset - first, offset - first + count));
      return count;
    });
  }

  /** Writes all of `from`. */
  write(offset: number, from: Uint8Array): Promise<void> {
    const stop = offset + from.length;
    const whole = offset % blockBytes === 0 && stop % blockBytes === 0;
    if (whole && stop <= this.end) return this.writeSpans(offset, from);
    const mine = this.turn.then(() => {
      this.end = Math.max(this.end, stop);
      return this.writeSpans(offset, from);
    });
    this.turn = mine.catch(() => {});
    return mine;
  }

  private writeSpans(offset: number, from: Uint8Array): Promise<void> {
    return this.withBuffer(async (buffer) => {
      for (let done = 0; done < from.length; ) {
        const at = offset + done;
        const first = at - (at % blockBytes);
        const length = span(at, from.length - done);
        const count = Math.min(from.length - done, first + length - at);
        const whole = at === first && count === length;
        if (!whole) buffer.fill(0, await this.move(read, buffer, first, length), length);
        buffer.set(from.subarray(done, done + count), at - first);
        for (let put = 0, some = 0; put < length; put += some) {
          some = await this.move(write, buffer.subarray(put), first + put, length - put);
          if (some === 0) throw new Error('nothing was written');
        }
        // A last block is written whole, and must not make the file longer than what was asked.
        if (first + length > this.end) await promisify(ftruncate)(this.fd, this.end);
        done += count;
      }
    });
  }

  private async withBuffer<T>(work: (buffer: Uint8Array) => Promise<T>): Promise<T> {
    let buffer = this.buffers.pop();
    if (buffer === undefined && this.made < mostBuffers) {
      this.made++;
      buffer = alignedBuffer();
    }
    buffer ??= await new Promise<Uint8Array>((resolve) => this.waiting.push(resolve));
    try {
      return await work(buffer);
    } finally {
      const next = this.waiting.shift();
      if (next === undefined) this.buffers.push(buffer);
      else next(buffer);
    }
  }

  private move(
    call: typeof read | typeof write,
    buffer: Uint8Array,
    at: number,
    length: number,
  ): Promise<number> {
    return new Promise((resolve, reject) => {
      (call as typeof read)(this.fd, buffer, 0, length, at, (error, count) => {
        if (error === null) resolve(count);
        else reject(error);
      });
    });
  }
}

/** How many bytes of whole blocks one transfer takes. */
function span(offset: number, length: number): number {
  const first = offset - (offset % blockBytes);
  const end = Math.ceil((offset + length) / blockBytes) * blockBytes;
  return Math.min(end - first, bufferBytes);
}
