/** Which handler of the interpreter runs which variant of a table entry. */
import { assert } from '../../base/assert.js';
import { variantsOf } from '../isa/operands.js';
import type { Variant } from '../isa/sem.js';
import type { Entry } from '../isa/table.js';
import { FIRST_HANDLER } from './record.js';

/** Finds a variant's handler number: the same for the generator and for who writes records. */
export class HandlerIndex {
  readonly variants: Variant[] = [];
  /** By entry, size, form, lock and rep; 0 where there is none. */
  private readonly numbers: Uint16Array;

  constructor(table: readonly Entry[]) {
    this.numbers = new Uint16Array(table.length * 128);
    for (const entry of table) {
      for (const variant of variantsOf(entry)) {
        this.numbers[slot(variant)] = FIRST_HANDLER + this.variants.length;
        this.variants.push(variant);
      }
    }
  }

  /** The handler's number in records and in the interpreter's table of functions. */
  of(variant: Variant): number {
    const exact = this.numbers[slot(variant)]!;
    // REPNE before a string instruction that does not compare repeats like REP.
    const number = exact || variant.rep !== 2 ? exact : this.numbers[slot({ ...variant, rep: 3 })]!;
    // Number 0 ends a block: a record with it would be run for ever.
    assert(number !== 0, `${variant.entry.pattern}: no handler for what the decoder found`);
    return number;
  }
}

function slot({ entry, size, form, lock, rep }: Variant): number {
  const sizeIndex = size === 16 ? 0 : size === 32 ? 1 : 2;
  const formIndex = form === 'reg' ? 0 : form === 'mem' ? 1 : 2;
  return entry.index * 128 + (((sizeIndex * 3 + formIndex) * 2 + (lock ? 1 : 0)) * 4 + rep);
}
