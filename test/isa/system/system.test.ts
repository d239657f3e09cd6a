/** Modes that user code cannot reach, against transcripts of QEMU and Bochs. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { gunzipSync } from 'node:zlib';
import { systemPrograms } from './programs.js';
import { fixtureFolder, hasQemu, runQemu, sourceDigest } from './reference.js';
import { runSystemImage } from './system-runner.js';
import { differences, isExcepted } from './transcript.js';

const digests = JSON.parse(readFileSync(join(fixtureFolder, 'sources.json'), 'utf8'));

for (const program of systemPrograms) {
  const { name } = program;
  const image = gunzipSync(readFileSync(join(fixtureFolder, `${name}.img.gz`)));
  const expected = readFileSync(join(fixtureFolder, `${name}.txt`), 'utf8');

  test(`system: ${name} says what the references say`, () => {
    const { transcript, end } = runSystemImage(image);
    assert.deepEqual(differences(expected, transcript), []);
    assert.equal(end, 'exit');
  });

  test(`system: the image of ${name} is of its source`, () => {
    assert.equal(digests[name], sourceDigest(program), 'run dist/test/isa/system/make-fixtures.js');
  });

  const skip = program.qemu ? (hasQemu() ? false : 'no QEMU here') : 'QEMU does not check this';
  test(`system: QEMU still says so of ${name}`, { skip }, () => {
    const found = differences(expected, runQemu(image));
    assert.deepEqual(
      found.filter((difference) => !isExcepted(program, difference.split('\n')[0]!)),
      [],
    );
  });
}
