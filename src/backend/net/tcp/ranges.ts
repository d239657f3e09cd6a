/** Pieces beyond this many are not kept: the guest sends again what it is not told of. */
const MAX_PIECES = 64;

/** Pieces of a stream, apart from each other and in order. */
export class Ranges {
  /** First position and position behind the last, of each piece. */
  private readonly edges: number[] = [];

  get count(): number {
    return this.edges.length / 2;
  }

  start(index: number): number {
    return this.edges[2 * index]!;
  }

  end(index: number): number {
    return this.edges[2 * index + 1]!;
  }

  /** Behind the last piece; 0 where there is none. */
  get lastEnd(): number {
    return this.edges[this.edges.length - 1] ?? 0;
  }

  /** Of all pieces together. */
  get length(): number {
    return this.edges.reduce((sum, edge, i) => sum + (i % 2 === 0 ? -edge : edge), 0);
  }

  /** The piece that has the position, or the first one after it. */
  indexOf(position: number): number {
    let i = 0;
    while (i < this.count && this.end(i) <= position) i++;
    return i;
  }

  /** False: there are too many pieces for one more. */
  add(start: number, end: number): boolean {
    const { edges } = this;
    let first = 0;
    while (first < edges.length && edges[first + 1]! < start) first += 2;
    let last = first;
    for (; last < edges.length && edges[last]! <= end; last += 2) {
      start = Math.min(start, edges[last]!);
      end = Math.max(end, edges[last + 1]!);
    }
    if (last === first && this.count === MAX_PIECES) return false;
    edges.splice(first, last - first, start, end);
    return true;
  }

  dropBefore(position: number): void {
    const { edges } = this;
    while (edges.length > 0 && edges[1]! <= position) edges.splice(0, 2);
    if (edges.length > 0) edges[0] = Math.max(edges[0]!, position);
  }

  clear(): void {
    this.edges.length = 0;
  }
}
