import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after } from 'node:test';
import { chassis } from './chassis.js';

const folder = mkdtempSync(join(tmpdir(), 'chassis-disk-'));
after(() => rmSync(folder, { recursive: true }));
const disk = join(folder, 'disk,1.raw');
const spec = `${disk.replaceAll(',', ',,')},format=raw`;
const kernel = join(folder, 'kernel');
writeFileSync(disk, new Uint8Array(1 << 20));
writeFileSync(kernel, 'x');

test('a --disk that cannot be used is one sentence and a status', async () => {
  const refused = async (status: number, wanted: RegExp, ...flags: string[]) => {
    const ended = await chassis('run', '--kernel', kernel, ...flags);
    assert.equal(ended.status, status);
    assert.match(ended.err, wanted);
    assert.doesNotMatch(ended.err, /\n {4}at /);
  };
  await refused(65, /no-such-file: cannot open it/, '--disk', 'no-such-file,format=raw');
  await refused(64, /found no format/, '--disk', kernel);
  await refused(64, /serial is given twice/, '--disk', `${spec},serial=a,serial=b`);
  await refused(64, /queues=1 to 16/, '--disk', `${spec},queues=0`);
});

test('a console has the ports that were named', async () => {
  const ports = ['--port', 'org.one=file:/dev/null', '--port', 'org.two=file:/dev/null'];
  const { out } = await chassis('inspect', ...ports);
  assert.match(out, /1af4:1003 .*virtio-console0/);
  const bad = await chassis('inspect', '--port', 'org.one');
  assert.deepEqual([bad.status, /wanted NAME=file:PATH/.test(bad.err)], [64, true]);
});

test('inspect leaves the files of disks alone', async () => {
  const { out, status } = await chassis('inspect', '--disk', 'no-such-file,format=raw', '--rng');
  assert.equal(status, 0);
  assert.match(out, /00:03\.0 {2}1af4:1001 .*virtio-blk0/);
});
