// Writes docs/instructions.md, the table of instructions and how each was checked, from the built
// instruction table.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { build } from './lib/build.mjs';
import { root } from './lib/paths.mjs';
import { main } from './lib/step.mjs';

await main(async () => {
  await build();
  const { coverageTable } = await import('../dist/test/isa/coverage.js');
  await writeFile(join(root, 'docs/instructions.md'), coverageTable());
});
