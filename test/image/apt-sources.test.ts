import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import test, { after } from 'node:test';
import { aptSources } from '#src/cli/image/apt-sources.js';
import { partitionTable } from '#src/cli/image/partition-table.js';

/** A folder that stands for /etc. */
function etc(files: Record<string, string>): string {
  const folder = mkdtempSync(join(tmpdir(), 'chassis-etc-'));
  after(() => rmSync(folder, { recursive: true }));
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
  return folder;
}

const release = { 'os-release': 'NAME=x\nVERSION_CODENAME=bookworm\n' };
const stanza = (suites: string, uri = 'http://mirror.example/debian') =>
  `Types: deb\n# why\nURIs: ${uri}\nSuites: ${suites}\nComponents: main\n`;

test('the host’s sources are taken with another suite, in both of apt’s formats', () => {
  const folder = etc({
    ...release,
    'apt/sources.list':
      '# deb http://x.example/debian bookworm main\n' +
      'deb [signed-by=/k] http://mirror.example/debian bookworm main contrib\n' +
      'deb-src http://mirror.example/debian bookworm main\n' +
      'deb http://mirror.example/debian-security bookworm-security main\n',
    'apt/sources.list.d/debian.sources': `${stanza('bookworm bookworm-updates')}\n${stanza('sid')}`,
  });
  const { list, sources } = aptSources('trixie', folder);
  assert.equal(
    list,
    'deb [signed-by=/k] http://mirror.example/debian trixie main contrib\n' +
      'deb http://mirror.example/debian-security trixie-security main\n',
  );
  assert.match(sources, /^Suites: trixie trixie-updates$/m);
  assert.doesNotMatch(sources, /why|sid/);
});

test('sources of others are left out, and none of Debian is a sentence', () => {
  const folder = etc({
    ...release,
    'apt/sources.list.d/a.list': 'deb http://x.example/apt tool-bookworm main\n',
    'apt/sources.list.d/b.sources': stanza('nodistro'),
    'apt/sources.list.d/c.list': 'deb http://x.example/debian bookworm-backports main\n',
  });
  assert.throws(
    () => aptSources('bookworm', folder),
    /found none of bookworm, wanted Debian’s main/,
  );
  assert.throws(() => aptSources('bookworm', etc({})), /found no VERSION_CODENAME/);
});

test('the partition table has one bootable Linux partition to the disk’s end', () => {
  const bytes = partitionTable(1 << 20, 4 * 2 ** 30, Uint8Array.of(1, 2, 3, 4));
  const view = new DataView(bytes.buffer);
  assert.deepEqual([...bytes.subarray(440, 446)], [1, 2, 3, 4, 0, 0]);
  assert.deepEqual([bytes[446], bytes[450]], [0x80, 0x83]);
  assert.deepEqual([view.getUint32(454, true), view.getUint32(458, true)], [2048, 2 ** 23 - 2048]);
  assert.deepEqual([bytes[510], bytes[511]], [0x55, 0xaa]);
});
