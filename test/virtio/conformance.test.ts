import assert from 'node:assert/strict';
import test from 'node:test';
import { read } from '../repo/source-tree.js';
import { conformanceTable, testsByRequirement } from './conformance-table.js';
import { sections } from './requirements.js';

const requirements = sections.flatMap((section) => section.requirements);

test('every requirement of VIRTIO has a test, or a reason to have none', () => {
  const tests = testsByRequirement();
  const bare = requirements.filter(({ id, none }) => none === undefined && !tests.has(id));
  assert.deepEqual(
    bare.map(({ id, must }) => `${id} ${must}`),
    [],
  );
});

test('tests name requirements that are there', () => {
  const known = new Set(requirements.map(({ id }) => id));
  const unknown = [...testsByRequirement().keys()].filter((id) => !known.has(id));
  assert.deepEqual(unknown, []);
});

test('docs/virtio-conformance.md is what the tests say', () => {
  const mend = 'node tools/gen-virtio-conformance.mjs writes it anew';
  assert.equal(read('docs/virtio-conformance.md'), conformanceTable(), mend);
});
