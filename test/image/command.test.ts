import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after } from 'node:test';
import { hostTools } from '#src/cli/image/host-tools.js';
import { main } from '#src/cli/main.js';
import { chassis } from '../cli/chassis.js';

const folder = mkdtempSync(join(tmpdir(), 'chassis-image-'));
after(() => rmSync(folder, { recursive: true }));
process.env.XDG_CACHE_HOME = join(folder, 'cache');
process.env.XDG_DATA_HOME = join(folder, 'data');

const record = {
  ...{ name: 'debian-bookworm', distribution: 'debian', suite: 'bookworm', architecture: 'amd64' },
  ...{ date: '2026-11-23T01:02:03.000Z', boot: 'direct', kernelRelease: '6.1.0-1-cloud-amd64' },
  ...{ format: 'qcow2', sizeBytes: 4 * 2 ** 30, sha256: 'ab', packages: ['bash=5.2-1', 'dash=1'] },
};

function write(place: string, name: string, file: string, content: unknown): string {
  const into = join(folder, place, name);
  mkdirSync(into, { recursive: true });
  writeFileSync(join(into, file), JSON.stringify(content));
  return into;
}

const putImage = () => write('cache/chassis/images', record.name, 'image.json', record);

/** Each: the command, its status, and what its one sentence says. */
const refused: [string, number, RegExp][] = [
  ['image', 64, /image build debian/],
  ['image biuld', 64, /unknown verb "biuld"; did you mean build\?/],
  ['image build', 64, /image build: found "nothing", wanted debian/],
  ['image build ubuntu', 64, /found "ubuntu", wanted debian/],
  ['image build debian --size 4Q', 64, /--size: found "4Q", wanted a size such as/],
  ['image build debian --size 1M', 64, /--size: found "1M", wanted 1G to 2048G/],
  ['image build debian --suite Book/worm', 64, /--suite: found "Book\/worm", wanted a suite/],
  ['image build debian --packages fio,;rm', 64, /--packages: found ";rm", wanted names/],
  ['image build debian --name ../x', 64, /--name: found "\.\.\/x", wanted up to 63/],
  ['image build debian --format vmdk', 64, /--format: found "vmdk", wanted qcow2 or raw/],
  ['image list x', 64, /image list: found 1 arguments, wanted none/],
  ['image rm', 64, /image rm: found 0 arguments, wanted one/],
  ['image rm nothing', 65, /found no image "nothing"; chassis image list/],
  ['image inspect ..', 64, /NAME: found "\.\.", wanted/],
  ['run debian lab', 64, /run debian: found "lab", wanted flags only/],
  ['run debian --name A', 64, /--name: found "A", wanted/],
  ['run debian --user root', 64, /--user: found "root", wanted/],
  ['run debian --user=-r', 64, /--user: found "-r", wanted/],
  ['run debian --password=', 64, /--password: found an empty one/],
  ['run debian --hostname a_b', 64, /--hostname: found "a_b", wanted/],
  [
    'run debian --ssh-key /nowhere.pub',
    65,
    /--ssh-key: cannot read \/nowhere.pub: there is no such/,
  ],
  ['run debian --remove', 65, /--remove: found no VM debian in/],
  ['run debian --kernel x', 64, /unknown flag --kernel/],
];

for (const [command, status, sentence] of refused) {
  test(`chassis ${command}: a sentence that names the flag, and ${status}`, async (t) => {
    let err = '';
    t.mock.method(process.stderr, 'write', (text: string) => {
      err += text;
      return true;
    });
    assert.equal(await main(command.split(' ')), status);
    assert.match(err, sentence);
    assert.doesNotMatch(err, / at .*\.js/, 'no stack trace');
  });
}

test('a private key is told apart from the public one', async () => {
  const key = join(folder, 'id');
  writeFileSync(key, '-----BEGIN OPENSSH PRIVATE KEY-----\n');
  const { status, err } = await chassis('run', 'debian', '--ssh-key', key);
  assert.equal(status, 64);
  assert.match(err, /is a private key, wanted the public one, .*id\.pub/);
});

test('images are listed, shown and removed, for people and for programs', async () => {
  const place = putImage();
  const listed = JSON.parse((await chassis('image', 'list', '--json')).out);
  assert.deepEqual([listed[0].name, listed[0].packages], ['debian-bookworm', 2]);
  assert.match(
    (await chassis('image', 'list')).out,
    /^debian-bookworm {2}bookworm {2}qcow2 {2}4 GiB/,
  );
  const shown = JSON.parse((await chassis('image', 'inspect', record.name, '--json')).out);
  assert.equal(shown.sha256, 'ab');
  assert.equal(shown.kernel, join(place, 'vmlinuz'));
  assert.match(
    (await chassis('image', 'inspect', record.name)).out,
    /packages: 2\n {2}bash=5\.2-1/,
  );
  assert.equal((await chassis('image', 'rm', record.name)).status, 0);
  assert.equal(existsSync(place), false);
});

test('an image that a VM stands on is neither removed nor replaced', async () => {
  const place = putImage();
  const vm = { image: record.name, id: '1', seeded: true };
  write('data/chassis/vms', 'lab', 'vm.json', vm);
  for (const command of ['image rm debian-bookworm', 'image build debian --force']) {
    const { status, err } = await chassis(...command.split(' '));
    assert.equal(status, 65);
    assert.match(err, /the disk of VM lab stands on image debian-bookworm; chassis run debian/);
  }
  const other = await chassis('run', 'debian', '--name', 'lab', '--suite', 'trixie');
  assert.match(other.err, /VM lab stands on image debian-bookworm, not on debian-trixie; --fresh/);
  assert.equal(existsSync(place), true);
  assert.equal((await chassis('run', 'debian', '--name', 'lab', '--remove')).status, 0);
  assert.equal((await chassis('image', 'rm', record.name)).status, 0);
});

test('a record that somebody broke is named', async () => {
  write('cache/chassis/images', 'broken', 'image.json', { name: 'broken', format: 7 });
  const { status, err } = await chassis('image', 'list');
  assert.equal(status, 65);
  assert.match(err, /broken\/image\.json: suite: found nothing, wanted a text/);
});

test('without the programs it is made with, a build names the packages to install', () => {
  const path = process.env.PATH;
  process.env.PATH = folder;
  try {
    assert.throws(
      hostTools,
      /found no mmdebstrap and no fakeroot.*; on Debian: apt-get install mmdebstrap fakeroot/,
    );
  } finally {
    process.env.PATH = path;
  }
});
