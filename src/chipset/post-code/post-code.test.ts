import assert from 'node:assert/strict';
import test from 'node:test';
import { conform } from '../../device/conformance.js';
import { PostCode } from './post-code.js';

conform(test, () => new PostCode());

test('post-code: the last code reads back and is told', () => {
  const codes: number[] = [];
  const post = new PostCode({ code: (code) => codes.push(code) });
  post.write(0, 0, 1, 0x55);
  post.write(0, 0, 1, 0xaa);
  assert.deepEqual(codes, [0x55, 0xaa]);
  assert.equal(post.read(), 0xaa);
  assert.equal(post.code, 0xaa);
});
