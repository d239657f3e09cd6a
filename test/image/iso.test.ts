import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after } from 'node:test';
import fc from 'fast-check';
import { seedVolume } from '#src/cli/debian/seed.js';
import { isoVolume } from '#src/cli/image/iso9660.js';
import { readIso } from './iso-reader.js';

const seed = Number(process.env.CHASSIS_FUZZ_SEED ?? 1);
const date = new Date('2026-11-23T01:02:03Z');

test('an ISO volume has every file under its own name by Rock Ridge and by Joliet', () => {
  const name = fc.stringMatching(/^[a-z][a-z0-9-]{0,19}$/);
  const files = fc.uniqueArray(fc.record({ name, data: fc.uint8Array({ maxLength: 5000 }) }), {
    selector: (file) => file.name,
    maxLength: 8,
  });
  fc.assert(
    fc.property(files, (wanted) => {
      // What ISO 9660 alone allows in names may make two the same.
      const plain = new Set(wanted.map((file) => file.name.replaceAll('-', '_')));
      fc.pre(plain.size === wanted.length);
      const { primary, joliet } = readIso(isoVolume('cidata', wanted, date));
      const sorted = wanted.toSorted((a, b) => (a.name < b.name ? -1 : 1));
      assert.equal(primary.label, 'cidata');
      assert.equal(joliet.label, 'cidata');
      assert.deepEqual(
        [...joliet.files],
        sorted.map((file) => [file.name, file.data]),
      );
      assert.deepEqual(primary.rockRidge.toSorted(), [...joliet.files.keys()]);
      assert.equal(primary.files.size, wanted.length);
    }),
    { seed, numRuns: 200 },
  );
});

test('more files than the one folder has room for are refused', () => {
  const files = Array.from({ length: 40 }, (_, i) => ({
    name: `file-${i}`,
    data: new Uint8Array(1),
  }));
  assert.throws(() => isoVolume('cidata', files, date), RangeError);
});

test('a seed says user, keys and host name, and another seed or VM is another instance', () => {
  const told = { user: 'ada', password: 'pa"ss', sshKeys: ['ssh-ed25519 AAAA x'], hostname: 'lab' };
  const read = (volume: Uint8Array) => {
    const { files } = readIso(volume).joliet;
    const text = (name: string) => new TextDecoder().decode(files.get(name));
    const [head, ...rest] = text('user-data').split('\n');
    assert.equal(head, '#cloud-config');
    return { user: JSON.parse(rest.join('\n')).users[0], meta: JSON.parse(text('meta-data')) };
  };
  const first = read(seedVolume(told, 'vm-1', date));
  assert.equal(first.user.name, 'ada');
  assert.equal(first.user.plain_text_passwd, 'pa"ss');
  assert.deepEqual(first.user.ssh_authorized_keys, told.sshKeys);
  assert.equal(first.meta['local-hostname'], 'lab');
  const id = (volume: Uint8Array) => read(volume).meta['instance-id'];
  assert.equal(id(seedVolume(told, 'vm-1', new Date())), first.meta['instance-id']);
  assert.notEqual(id(seedVolume(told, 'vm-2', date)), first.meta['instance-id']);
  assert.notEqual(
    id(seedVolume({ ...told, user: 'eve' }, 'vm-1', date)),
    first.meta['instance-id'],
  );
});

const isoinfo = '/usr/bin/isoinfo';

test('isoinfo reads what we wrote', {
  skip: !existsSync(isoinfo) && `no ${isoinfo}; on Debian: apt-get install genisoimage`,
}, () => {
  const folder = mkdtempSync(join(tmpdir(), 'chassis-iso-'));
  after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'seed.iso');
  const told = { user: 'ada', password: 'x', sshKeys: [], hostname: 'lab' };
  writeFileSync(file, seedVolume(told, 'vm', date));
  for (const names of ['-R', '-J']) {
    const list = execFileSync(isoinfo, ['-l', names, '-i', file], { encoding: 'utf8' });
    assert.match(list, /Nov 23 2026 .* meta-data\s*\n.* user-data\s*\n/);
    const text = execFileSync(isoinfo, ['-x', '/user-data', names, '-i', file], {
      encoding: 'utf8',
    });
    assert.match(text, /^#cloud-config\n.*"ada"/s);
  }
  assert.match(execFileSync(isoinfo, ['-d', '-i', file], { encoding: 'utf8' }), /id: cidata\n/);
});
