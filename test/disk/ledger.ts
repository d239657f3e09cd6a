import assert from 'node:assert/strict';

/**
 * What each sector may hold after something went wrong: the value that it surely had, or any that was
 * written since. Sectors are filled with one value each, 0 to 255.
 */
export class Ledger {
  private readonly may: Set<number>[];

  constructor(contents: Uint8Array) {
    this.may = Ledger.values(contents).map((value) => new Set([value]));
  }

  private static values(contents: Uint8Array): number[] {
    return Array.from({ length: contents.length / 512 }, (_, i) => contents[i * 512]!);
  }

  /** A request that may or may not have been done: `contents` may be there. */
  allow(offset: number, contents: Uint8Array): void {
    Ledger.values(contents).forEach((value, i) => {
      this.may[offset / 512 + i]?.add(value);
    });
  }

  /** A request that was done. */
  settle(offset: number, contents: Uint8Array): void {
    Ledger.values(contents).forEach((value, i) => {
      this.may[offset / 512 + i] = new Set([value]);
    });
  }

  copy(): Ledger {
    const copy = new Ledger(new Uint8Array(0));
    copy.may.push(...this.may.map((values) => new Set(values)));
    return copy;
  }

  check(found: Uint8Array, what: string): void {
    for (let i = 0; i * 512 < found.length && i < this.may.length; i++) {
      const sector = found.subarray(i * 512, i * 512 + 512);
      const value = sector[0]!;
      const whole = sector.every((byte) => byte === value);
      if (whole && this.may[i]!.has(value)) continue;
      const wanted = [...this.may[i]!].join(' or ');
      assert.fail(`${what}: sector ${i}: found ${whole ? value : 'a mixture'}, wanted ${wanted}`);
    }
  }
}
