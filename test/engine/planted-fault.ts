import { instructionTable } from '#src/cpu/isa/index.js';
import type { Semantic } from '#src/cpu/isa/table.js';

/**
 * From now on SUB is translated as ADD; the answer mends that. The interpreter was built from the table before:
 * only the translator sees it.
 */
export function plantFault(): () => void {
  const named = (name: string) => instructionTable.filter(({ mnemonic }) => mnemonic === name);
  const swapped = named('sub').map((entry) => {
    const other = named('add').find(({ operands }) => operands.join() === entry.operands.join());
    const writable: { semantic: Semantic } = entry;
    const { semantic } = entry;
    writable.semantic = other!.semantic;
    return { writable, semantic };
  });
  return () => {
    for (const { writable, semantic } of swapped) writable.semantic = semantic;
  };
}
