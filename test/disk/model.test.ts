import assert from 'node:assert/strict';
import test from 'node:test';
import { Model, randomShape } from './model.js';
import { Random, roundsOf, seed } from './random.js';

const rounds = roundsOf(60);

test(`a qcow2 disk equals a plain array, whatever is done to it (seed ${seed})`, async () => {
  for (let round = 0; round < rounds; round++) {
    const random = new Random(seed * 1000 + round);
    const shape = randomShape(random);
    const model = new Model(shape, random);
    model.host.delay = random.next;
    try {
      await model.create();
      for (let i = 0; i < 40; i++) await model.step();
      await model.compare();
      await model.reopen();
      await model.compare();
      await model.disk.close();
      await model.check();
    } catch (error) {
      assert.fail(`round ${round} of ${JSON.stringify(shape)}: ${(error as Error).stack}`);
    }
  }
});
