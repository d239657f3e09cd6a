import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after } from 'node:test';
import { ChassisProcess } from '../cli/chassis.js';
import { guestFile, needsGuests } from '../guests/guest-files.js';

const folder = mkdtempSync(join(tmpdir(), 'chassis-disk-'));
after(() => rmSync(folder, { recursive: true }));
const disk = join(folder, 'disk.raw');
writeFileSync(disk, new Uint8Array(1 << 20));

test('a guest writes to its disk, is saved while it does, and is loaded with the same file', {
  ...needsGuests('vmlinuz-cloud-amd64', 'initramfs-virtio.cpio'),
  timeout: 300_000,
}, async () => {
  const saved = join(folder, 'saved');
  const first = new ChassisProcess([
    ...[
      'run',
      '--engine',
      'soft',
      '--memory',
      '192M',
      '--save-on-exit',
      saved,
      '--disk',
      `${disk},format=raw`,
    ],
    ...['--kernel', guestFile('vmlinuz-cloud-amd64')],
    ...['--initrd', guestFile('initramfs-virtio.cpio')],
    ...['--append', 'console=ttyS0 quiet cryptomgr.notests'],
  ]);
  await first.printed('/root # ');
  first.type('echo before | dd of=/dev/vda conv=sync,fsync; echo "done"-\n');
  await first.printed('done-');
  first.signal('SIGTERM');
  assert.equal((await first.ended).status, 128 + 15);
  assert.match(readFileSync(disk, 'latin1'), /^before\n/);
  const second = new ChassisProcess(['run', '--engine', 'soft', '--load', saved]);
  second.type(
    'dd if=/dev/vda bs=6 count=1 iflag=direct; echo after | dd of=/dev/vda conv=sync,fsync\n',
  );
  second.type('poweroff -f\n');
  assert.equal((await second.ended).status, 0);
  assert.match(readFileSync(disk, 'latin1'), /^after\n/);
});
