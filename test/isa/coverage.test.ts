import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { coverageTable } from './coverage.js';

test('docs/instructions.md is what the instruction table says', () => {
  const committed = readFileSync(new URL('../../../docs/instructions.md', import.meta.url), 'utf8');
  assert.ok(committed === coverageTable(), 'run node tools/gen-coverage.mjs and commit the file');
});
