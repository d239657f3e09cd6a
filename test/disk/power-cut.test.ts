import assert from 'node:assert/strict';
import test from 'node:test';
import { randomShape } from './model.js';
import { Recording } from './power-cut.js';
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
