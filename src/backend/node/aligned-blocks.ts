import { ftruncate, read, write } from 'node:fs';
import { promisify } from 'node:util';

/** What offset, length and place in memory of a direct transfer are multiples of; enough for all media. */
const blockBytes = 4096;
const bufferBytes = 1 << 20;

/**
 * Transfers of any offset and length by way of an aligned buffer, for files opened with O_DIRECT.
 * They take turns: a write of a part of a block reads the block first.
 */
export class AlignedBlocks {
  // V8 puts a WebAssembly memory at the beginning of a page.
  private readonly buffer = new Uint8Array(
    new WebAssembly.Memory({ initial: bufferBytes >> 16, maximum: bufferBytes >> 16, shared: true })
      .buffer,
  );
  private turn: Promise<unknown> = Promise.resolve();

  constructor(private readonly fd: number) {}

  /** Answers how many bytes of `into` were filled; 0 at the file's end. */
  read(offset: number, into: Uint8Array): Promise<number> {
    return this.inTurn(async () => {
      const first = offset - (offset % blockBytes);
      const got = await this.move(read, first, this.span(offset, into.length));
      const count = Math.max(0, Math.min(got - (offset - first), into.length));
      into.set(this.buffer.subarray(offset - first, offset - first + count));
      return count;
    });
  }

  /** Writes all of `from`; the file has `fileBytes` afterwards. */
  write(offset: number, from: Uint8Array, fileBytes: number): Promise<void> {
    return this.inTurn(async () => {
      for (let done = 0; done < from.length; ) {
        const at = offset + done;
        const first = at - (at % blockBytes);
        const span = this.span(at, from.length - done);
        const count = Math.min(from.length - done, first + span - at);
        const whole = at === first && count === span;
        if (!whole) this.buffer.fill(0, await this.move(read, first, span), span);
        this.buffer.set(from.subarray(done, done + count), at - first);
        const put = await this.move(write, first, span);
        if (put < span) throw new Error(`${put} of ${span} bytes were written`);
        // A last block is written whole, and must not make the file longer than what was asked.
        if (first + span > fileBytes) await promisify(ftruncate)(this.fd, fileBytes);
        done += count;
      }
    });
  }

  private span(offset: number, length: number): number {
    const first = offset - (offset % blockBytes);
    const end = Math.ceil((offset + length) / blockBytes) * blockBytes;
    return Math.min(end - first, bufferBytes);
  }

  private inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.turn.then(work);
    this.turn = result.catch(() => {});
    return result;
  }

  private move(call: typeof read | typeof write, at: number, length: number): Promise<number> {
    return new Promise((resolve, reject) => {
      (call as typeof read)(this.fd, this.buffer, 0, length, at, (error, count) => {
        if (error === null) resolve(count);
        else reject(error);
      });
    });
  }
}
