import assert from 'node:assert/strict';
import test from 'node:test';
import { importsOf, read, sourceFiles } from './source-tree.js';

/** From the bottom up: a layer imports only from the layers before it, and from itself. */
const layers = [
  'base',
  'memory',
  'cpu',
  'engine',
  'device',
  'chipset',
  'virtio',
  'backend',
  'firmware',
  'machine',
  'api',
  'daemon',
  'cli',
];

/** A device knows nothing but what a device is. */
const deviceLayers = new Set(['chipset', 'virtio']);
const deviceMayImport = new Set(['base', 'device']);
/** What all virtio devices and transports are made of. */
const sharedByVirtio = new Set(['src/virtio/queue', 'src/virtio/core']);

const layerOf = (path: string) => path.split('/')[1]!;

/** The folder of one chip: `src/chipset/pit8254`. */
const chipOf = (path: string) => path.split('/').slice(0, 3).join('/');

function modules(atRunTime = false): Map<string, string[]> {
  const files = sourceFiles().filter(
    (path) => /^src\/.*\.ts$/.test(path) && !path.startsWith('src/cpu/runtime/'),
  );
  return new Map(files.map((path) => [path, importsOf(path, read(path), atRunTime)]));
}

test('every folder of src is a layer', () => {
  const unknown = [...modules().keys()].map(layerOf).filter((layer) => !layers.includes(layer));
  assert.deepEqual(
    [...new Set(unknown)].filter((name) => name.includes('.') === false),
    [],
  );
});

test('imports point down', () => {
  const wrong: string[] = [];
  for (const [path, imports] of modules()) {
    if (path.endsWith('.test.ts')) continue;
    for (const target of imports) {
      const [from, to] = [layers.indexOf(layerOf(path)), layers.indexOf(layerOf(target))];
      if (!target.startsWith('src/') || to < 0 || to > from) wrong.push(`${path} -> ${target}`);
    }
  }
  assert.deepEqual(wrong, []);
});

test('a device imports base and device only, and no other chip', () => {
  const wrong: string[] = [];
  for (const [path, imports] of modules()) {
    if (!deviceLayers.has(layerOf(path)) || path.endsWith('.test.ts')) continue;
    for (const target of imports) {
      const isShared = layerOf(path) === 'virtio' && sharedByVirtio.has(chipOf(target));
      if (isShared || deviceMayImport.has(layerOf(target))) continue;
      if (chipOf(target) !== chipOf(path)) wrong.push(`${path} -> ${target}`);
    }
  }
  assert.deepEqual(wrong, []);
});

test('imports have no cycles', () => {
  // Two files may describe their types by each other's; what runs may not.
  const graph = modules(true);
  const done = new Set<string>();
  const visit = (path: string, trail: string[]): void => {
    assert.ok(!trail.includes(path), `a cycle: ${[...trail, path].join(' -> ')}`);
    if (done.has(path)) return;
    for (const target of graph.get(path) ?? []) visit(target, [...trail, path]);
    done.add(path);
  };
  for (const path of graph.keys()) visit(path, []);
});
