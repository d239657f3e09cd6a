/** Pieces below this are gathered. */
const SMALL_BYTES = 4096;
/** Where small pieces are gathered. */
const GATHER_BYTES = 32 << 10;
/** Free bytes before what is gathered: enough for the headers of any segment. */
const LEAD_BYTES = 128;

/** The bytes, copied if what they are a view of is much larger. */
export const compact = (bytes: Uint8Array): Uint8Array =>
  bytes.buffer.byteLength > 2 * bytes.length + 256 ? bytes.slice() : bytes;

/**
 * Bytes that wait in order. What is pushed is kept and not copied, except small pieces, so that neither
 * many of those nor a view of a few bytes into a large buffer cost more memory than twice their length.
 */
export class ByteQueue {
  length = 0;
  private readonly chunks: Uint8Array[] = [];
  /** Bytes at the end of the last chunk that are not in use yet. */
  private free = 0;

  push(bytes: Uint8Array): void {
    const { chunks } = this;
    const last = chunks[chunks.length - 1];
    const isSmall = bytes.length < SMALL_BYTES;
    this.length += bytes.length;
    if (isSmall && last !== undefined && this.free >= bytes.length) {
      last.set(bytes, last.length - this.free);
      this.free -= bytes.length;
      return;
    }
    const gathers = isSmall && last !== undefined && (this.free > 0 || last.length < SMALL_BYTES);
    this.trim();
    if (gathers) {
      const gathered = new Uint8Array(LEAD_BYTES + GATHER_BYTES).subarray(LEAD_BYTES);
      gathered.set(bytes);
      chunks.push(gathered);
      this.free = GATHER_BYTES - bytes.length;
    } else if (bytes.length > 0) chunks.push(compact(bytes));
  }

  /** The last chunk takes no more. */
  private trim(): void {
    if (this.free === 0) return;
    const last = this.chunks.length - 1;
    const chunk = this.chunks[last]!;
    this.chunks[last] = chunk.subarray(0, chunk.length - this.free);
    this.free = 0;
  }

  /** Takes the first chunk out. */
  shift(): Uint8Array | undefined {
    if (this.chunks.length === 1) this.trim();
    const chunk = this.chunks.shift();
    this.length -= chunk?.length ?? 0;
    return chunk;
  }

  /** Forgets the first `count` bytes; `free` gets what is left of each chunk that is used up. */
  drop(count: number, free: (chunk: Uint8Array) => void): void {
    const { chunks } = this;
    this.length -= count;
    while (count > 0) {
      if (chunks.length === 1) this.trim();
      const first = chunks[0]!;
      if (count < first.length) chunks[0] = first.subarray(count);
      else free(chunks.shift()!);
      count -= first.length;
    }
  }

  /** The chunk that has the byte at `offset`, which is there. */
  private locate(offset: number): { index: number; at: number } {
    let index = 0;
    let at = offset;
    while (at >= this.chunks[index]!.length) at -= this.chunks[index++]!.length;
    return { index, at };
  }

  /** How many bytes from `offset` on stand together. */
  together(offset: number): number {
    const { index, at } = this.locate(offset);
    return this.chunks[index]!.length - at;
  }

  /**
   * `count` bytes from `offset` on where they are, with `lead` bytes before them that are free: those of
   * a chunk's beginning only. Undefined: they must be copied.
   */
  inPlace(offset: number, count: number, lead: number): Uint8Array | undefined {
    const { index, at } = this.locate(offset);
    const chunk = this.chunks[index]!;
    if (at !== 0 || chunk.byteOffset < lead || chunk.length < count) return undefined;
    return new Uint8Array(chunk.buffer, chunk.byteOffset - lead, lead + count);
  }

  /** Copies `count` bytes from `offset` on; all of them are there. */
  copy(offset: number, count: number, target: Uint8Array, to: number): void {
    let { index, at } = this.locate(offset);
    for (let done = 0; done < count; at = 0) {
      const piece = this.chunks[index++]!.subarray(at, at + count - done);
      target.set(piece, to + done);
      done += piece.length;
    }
  }
}
