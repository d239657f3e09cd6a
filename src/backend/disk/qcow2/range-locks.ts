/** Keeps two pieces of work off the same clusters; in the order they asked. */
export class RangeLocks {
  private readonly held = new Set<{ first: number; last: number; done: Promise<unknown> }>();

  async hold<T>(first: number, last: number, work: () => Promise<T>): Promise<T> {
    const before = [...this.held]
      .filter((other) => other.first <= last && other.last >= first)
      .map(({ done }) => done);
    const result = before.length === 0 ? work() : Promise.allSettled(before).then(work);
    const lock = { first, last, done: result };
    this.held.add(lock);
    try {
      return await result;
    } finally {
      this.held.delete(lock);
    }
  }
}
