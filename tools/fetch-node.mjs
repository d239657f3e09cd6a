// Fetches a current Node from npm, to test and measure with, and prints where its program is.
import { ensureCurrentNode } from './lib/current-node.mjs';
import { main } from './lib/step.mjs';

await main(async () => {
  console.log(await ensureCurrentNode());
});
