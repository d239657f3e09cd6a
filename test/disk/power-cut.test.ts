import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { randomShape } from './model.js';
import { Recording } from './power-cut.js';
import { inFolder, noQemu } from './qemu.js';
import { Random, roundsOf, seed } from './random.js';

const runs = roundsOf(25);
const cuts = 12;

test(`a power cut leaves a consistent image with all that was flushed (seed ${seed})`, async () => {
  for (let round = 0; round < runs; round++) {
    const random = new Random(seed * 2000 + round);
    const shape = randomShape(random);
    try {
      const recording = new Recording(shape, random);
      await recording.run(20);
      for (let i = 0; i < cuts; i++) {
        const count = random.below(recording.steps.length + 1);
        await recording.verify(recording.cut(count), count);
      }
    } catch (error) {
      assert.fail(`round ${round} of ${JSON.stringify(shape)}: ${(error as Error).stack}`);
    }
  }
});

test('QEMU finds no corruption after a power cut, at most leaks', { skip: noQemu }, () =>
  inFolder(async (folder) => {
    for (let round = 0; round < roundsOf(12); round++) {
      const random = new Random(seed * 2500 + round);
      const shape = { ...randomShape(random), lazyRefcounts: false };
      const recording = new Recording(shape, random);
      await recording.run(12, { snapshots: false });
      for (let i = 0; i < 2; i++) {
        const host = recording.cut(random.below(recording.steps.length + 1));
        for (const [name, file] of host.files) writeFileSync(join(folder, name), file.contents());
        const check = ['check', '-f', 'qcow2', 'disk.qcow2'];
        const { status, stdout } = spawnSync('qemu-img', check, { cwd: folder, encoding: 'utf8' });
        // 3: leaks and nothing else.
        assert.ok(
          status === 0 || status === 3,
          `round ${round}: ${JSON.stringify(shape)}: ${stdout}`,
        );
      }
    }
  }),
);
