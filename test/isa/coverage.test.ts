import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import test from 'node:test';
import { coverageTable, SECOND_OPINION, spellings } from './coverage.js';

const root = new URL('../../../', import.meta.url);

test('docs/instructions.md is what the instruction table says', () => {
  const committed = readFileSync(new URL('docs/instructions.md', root), 'utf8');
  assert.ok(committed === coverageTable(), 'run node tools/gen-coverage.mjs and commit the file');
});

test('what other emulators are said to have run stands in the programs they ran', () => {
  const folder = new URL('test/isa/system/', root);
  const sources = readdirSync(folder).filter((name) => /\.(S|inc)$/.test(name));
  const text = sources.map((name) => readFileSync(new URL(name, folder), 'utf8')).join('\n');
  const words = new Set(text.replace(/#.*$/gm, '').match(/[a-z][a-z0-9]*/g));
  const missing = SECOND_OPINION.filter((name) => !spellings(name).some((word) => words.has(word)));
  assert.deepEqual(missing, []);
});
