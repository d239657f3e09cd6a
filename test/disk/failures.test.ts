import assert from 'node:assert/strict';
import test from 'node:test';
import { DiskError, type DiskErrorCode } from '#src/backend/disk/disk.js';
import { openDisk } from '#src/backend/disk/open-disk.js';
import { Ledger } from './ledger.js';
import { Model, randomShape } from './model.js';
import { Random, roundsOf, seed } from './random.js';

const rounds = roundsOf(40);

/** One burst of requests; those that fail may have been done, in part or not at all. */
async function burst(model: Model, ledger: Ledger, code: DiskErrorCode): Promise<number> {
  const { random, disk } = model;
  const sectors = disk.sizeBytes / 512;
  let failed = 0;
  const parts = 1 + random.below(5);
  const work = Array.from({ length: parts }, async (_, part) => {
    const first = Math.floor((sectors * part) / parts);
    const end = Math.floor((sectors * (part + 1)) / parts);
    if (first === end) return;
    const at = first + random.below(end - first);
    const length = (1 + random.below(Math.min(end - at, random.pick([1, 8, 200])))) * 512;
    const kind = random.below(8);
    const bytes = kind < 6 ? random.bytes(length) : new Uint8Array(length);
    try {
      if (kind < 6) await disk.write(at * 512, bytes);
      else await disk.writeZeroes(at * 512, length, kind === 6);
      ledger.settle(at * 512, bytes);
    } catch (error) {
      assert.ok(error instanceof DiskError && error.code === code, String(error));
      ledger.allow(at * 512, bytes);
      failed++;
    }
  });
  await Promise.all(work);
  return failed;
}

for (const [code, half] of [
  ['io', false],
  ['no-space', true],
] as const) {
  const how = half ? 'half of a write fits and the disk is full' : 'the host fails with EIO';
  test(`when ${how}, the guest is told and the image stays consistent (seed ${seed})`, async () => {
    for (let round = 0; round < rounds; round++) {
      const random = new Random(seed * 3000 + round);
      const shape = randomShape(random);
      const model = new Model(shape, random);
      const { host } = model;
      host.delay = random.next;
      const what = `round ${round} of ${JSON.stringify(shape)}`;
      try {
        await model.create();
        const ledger = new Ledger(model.expected);
        for (let i = 0; i < 8; i++) await burst(model, ledger, code);
        if (random.below(2) === 0) await model.disk.flush();
        host.failure = { code, half, sticky: random.below(2) === 0 };
        host.failing = half ? /write|truncate/ : /./;
        host.failAfter = random.below(30);
        for (let i = 0; i < 6; i++) {
          await burst(model, ledger, code);
          await model.disk.flush().catch((error) => assert.equal(error.code, code));
        }
        // The disk has room again, or the cable is back.
        host.failure = { code, half, sticky: false };
        host.failAfter = Number.POSITIVE_INFINITY;
        for (let i = 0; i < 4; i++) assert.equal(await burst(model, ledger, code), 0);
        await model.disk.flush();
        const found = new Uint8Array(model.disk.sizeBytes);
        await model.disk.read(0, found);
        ledger.check(found, 'before it was closed');
        await model.disk.close();
        await model.check();
        const again = await openDisk(host, model.spec, { writable: false });
        await again.read(0, found);
        ledger.check(found, 'after it was opened again');
      } catch (error) {
        assert.fail(`${what}: ${(error as Error).stack}`);
      }
    }
  });
}

test('an image whose host fails while it is closed is consistent, and may be opened again', async () => {
  for (let round = 0; round < rounds; round++) {
    const random = new Random(seed * 4000 + round);
    const shape = randomShape(random);
    const model = new Model(shape, random);
    try {
      await model.create();
      const ledger = new Ledger(model.expected);
      for (let i = 0; i < 5; i++) await burst(model, ledger, 'io');
      await model.disk.flush();
      const flushed = ledger.copy();
      model.host.failure = { code: 'io', sticky: true, half: false };
      model.host.failAfter = random.below(6);
      await model.disk.close().catch((error) => assert.equal(error.code, 'io'));
      model.host.failAfter = Number.POSITIVE_INFINITY;
      const again = await openDisk(model.host, model.spec, { writable: true });
      const found = new Uint8Array(again.sizeBytes);
      await again.read(0, found);
      flushed.check(found, 'after it was opened again');
      await again.close();
    } catch (error) {
      assert.fail(`round ${round} of ${JSON.stringify(shape)}: ${(error as Error).stack}`);
    }
  }
});
