// `npm run build`: everything that bin/chassis and the tests need, in dist/.
import { build } from './lib/build.mjs';
import { main, timed } from './lib/step.mjs';

await main(() => timed('build', () => build()));
