import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import test from 'node:test';
import { ChassisProcess, chassisPath } from '../cli/chassis.js';
import { guestFile, needsGuests } from '../guests/guest-files.js';

const guest = ['vmlinuz-cloud-amd64', 'initramfs-amd64.cpio'] as const;

/** The program of a current Node, or why there is none; the tool says both. */
function currentNode(): { path: string } | { missing: string } {
  const tool = join(chassisPath, '../../tools/fetch-node.mjs');
  const { status, stdout, stderr } = spawnSync(process.execPath, [tool], {
    encoding: 'utf8',
    timeout: 60_000,
  });
  if (status === 0) return { path: stdout.trim() };
  return { missing: `no current Node: ${stderr.trim() || 'npm took over a minute'}` };
}

test('a current Node boots Debian’s 64-bit kernel to a shell that answers', {
  ...needsGuests(...guest),
  timeout: 300_000,
}, async (t) => {
  const node = currentNode();
  if ('missing' in node) return t.skip(node.missing);
  const version = execFileSync(node.path, ['--version'], { encoding: 'utf8' });
  assert.ok(Number(/^v(\d+)/.exec(version)?.[1]) > 20, `found ${version}`);
  const machine = new ChassisProcess(
    [
      ...[chassisPath, 'run', '--memory', '256M'],
      ...['--kernel', guestFile(guest[0]), '--initrd', guestFile(guest[1])],
      ...['--append', 'console=ttyS0 cryptomgr.notests'],
    ],
    { path: node.path },
  );
  await machine.printed('/root # ');
  machine.type('echo $((6 * 7)) | tr 2 3; poweroff -f\n');
  const { status, out } = await machine.ended;
  assert.equal(status, 0);
  assert.match(out, /^43\r?$/m);
});
