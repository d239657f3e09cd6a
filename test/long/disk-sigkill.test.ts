import test from 'node:test';
import { killWriters } from '../disk/kill.js';
import { inFolder } from '../disk/qemu.js';
import { seed } from '../disk/random.js';

const shapes = {
  'of 64 KiB clusters': {},
  'of 512 byte clusters': { clusterBytes: 512 },
  'with lazy counts': { lazyRefcounts: true },
  'with subclusters': { extendedL2: true },
};

for (const [name, options] of Object.entries(shapes)) {
  test(`50 writers of an image ${name} are killed, and nothing flushed is lost (seed ${seed})`, () =>
    inFolder((folder) => killWriters(folder, options, seed, 50)));
}
