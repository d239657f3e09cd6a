/** Pieces below this are gathered. */
const SMALL_BYTES = 4096;
/** Where small pieces are gathered. */
const GATHER_BYTES = 32 << 10;
/** Free bytes before what is gathered: enough for the headers of any segment. */
const LEAD_BYTES = 128;

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
    this.length += bytes.length;
    if (bytes.length < SMALL_BYTES && chunks.length > 0) {
      const last = chunks[chunks.length - 1]!;
      if (this.free >= bytes.length) {
        last.set(bytes, last.length - this.free);
        this.free -= bytes.length;
        return;
      }
      if (this.free > 0 || last.length < SMALL_BYTES) {
        this.trim();
        const gathered = new Uint8Array(LEAD_BYTES + GATHER_BYTES).subarray(LEAD_BYTES);
        gathered.set(bytes);
        chunks.push(gathered);
        this.free = GATHER_BYTES - bytes.length;
        return;
      }
    }
    this.trim();
    const isWasteful = bytes.buffer.byteLength > 2 * bytes.length + 256;
    if (bytes.length > 0) chunks.push(isWasteful ? bytes.slice() : bytes);
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

  /** Forgets the first `count` bytes. */
  drop(count: number): void {
    const { chunks } = this;
    this.length -= count;
    while (count > 0) {
      if (chunks.length === 1) this.trim();
      const first = chunks[0]!;
      if (count < first.length) chunks[0] = first.subarray(count);
      else chunks.shift();
      count -= first.length;
    }
  }

  /**
   * `count` bytes from `offset` on where they are, with `lead` bytes before them that are free: those of
   * a chunk's beginning only. Undefined: they must be copied.
   */
  inPlace(offset: number, count: number, lead: number): Uint8Array | undefined {
    const { chunks } = this;
    let i = 0;
    while (offset > 0 && i < chunks.length) offset -= chunks[i++]!.length;
    const chunk = chunks[i];
    if (offset !== 0 || chunk === undefined) return undefined;
    if (chunk.byteOffset < lead || chunk.length < count) return undefined;
    return new Uint8Array(chunk.buffer, chunk.byteOffset - lead, lead + count);
  }

  /** How many bytes from `offset` on stand together. */
  together(offset: number): number {
    const { chunks } = this;
    let i = 0;
    while (i < chunks.length && offset >= chunks[i]!.length) offset -= chunks[i++]!.length;
    return i < chunks.length ? chunks[i]!.length - offset : 0;
  }

  /** Copies `count` bytes from `offset` on; all of them are there. */
  copy(offset: number, count: number, target: Uint8Array, at: number): void {
    const { chunks } = this;
    let i = 0;
    while (offset >= chunks[i]!.length) offset -= chunks[i++]!.length;
    while (count > 0) {
      const piece = chunks[i++]!.subarray(offset, offset + count);
      target.set(piece, at);
      at += piece.length;
      count -= piece.length;
      offset = 0;
    }
  }
}
