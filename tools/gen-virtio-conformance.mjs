// Writes docs/virtio-conformance.md, the table of VIRTIO's requirements and the tests that check them.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { build } from './lib/build.mjs';
import { root } from './lib/paths.mjs';
import { main } from './lib/step.mjs';

await main(async () => {
  await build();
  const { conformanceTable } = await import('../dist/test/virtio/conformance-table.js');
  await writeFile(join(root, 'docs/virtio-conformance.md'), conformanceTable());
});
