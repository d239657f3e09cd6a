import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import test from 'node:test';
import { engines } from '../engine/engines.js';
import { read, root } from '../repo/source-tree.js';

const path = 'examples/hello-vm.ts';
const script = join(root, 'dist/examples/hello-vm.js');

function hello(engine: string) {
  return spawnSync(process.execPath, [script, engine], { encoding: 'utf8', timeout: 30_000 });
}

for (const { name, skip } of engines) {
  test(`hello-vm prints its line on the ${name} engine`, { skip }, () => {
    const { status, stdout, stderr } = hello(name);
    assert.equal(stderr, '');
    assert.equal(stdout, 'Hello from a virtual machine!\n');
    assert.equal(status, 0);
  });
}

test('hello-vm names the engines there are when it is asked for another', () => {
  const { status, stderr } = hello('fast');
  assert.notEqual(status, 0);
  assert.match(stderr, /engine: found "fast", wanted auto or soft or kvm/);
});

test('hello-vm has at most 60 lines', () => {
  assert.ok(read(path).trimEnd().split('\n').length <= 60);
});

test('the tutorial shows hello-vm as it is', () => {
  const source = read(path);
  const blocks = [...read('docs/tutorial.md').matchAll(/^```ts\n(.*?)^```/gms)];
  assert.ok(blocks.length > 0);
  for (const [, block] of blocks) assert.ok(source.includes(block!), `not in ${path}:\n${block}`);
});
