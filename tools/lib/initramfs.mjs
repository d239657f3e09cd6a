import { readFile, rename, writeFile } from 'node:fs/promises';
import { cpioArchive } from './cpio.mjs';
import { timed } from './step.mjs';

/** The line that the first user process prints before anything else; the benchmark waits for it. */
export const firstLine = 'You are in a PC made of TypeScript: a busybox shell, no login.';

const init = `#!/bin/busybox sh
echo
echo '${firstLine}'
export PATH=/bin:/sbin HOME=/root TERM=vt100
busybox mount -t proc proc /proc
busybox mount -t sysfs sysfs /sys
busybox mount -t devtmpfs devtmpfs /dev 2>/dev/null
busybox --install -s /bin
hostname chassis
echo 'Try: uname -m, cat /proc/cpuinfo, top, vi, dmesg; "poweroff -f" or Ctrl-A x ends it.'
cd /root
while :; do
  setsid cttyhack sh -l
  echo 'The shell ended; here is a new one.'
done
`;

const profile = `PS1='\\w \\$ '
`;

/**
 * Writes the initramfs unless it is there already. It is left uncompressed: the guest's CPU is
 * slower at inflating than the host's disk at reading.
 */
export async function buildInitramfs(busybox, target) {
  const directory = (path) => ({ path, kind: 'directory', mode: 0o755 });
  const archive = cpioArchive([
    ...['bin', 'dev', 'etc', 'proc', 'root', 'sbin', 'sys', 'tmp'].map(directory),
    { path: 'dev/console', kind: 'device', mode: 0o600, major: 5, minor: 1 },
    { path: 'bin/busybox', kind: 'file', mode: 0o755, data: await readFile(busybox) },
    { path: 'etc/profile', kind: 'file', mode: 0o644, data: profile },
    { path: 'init', kind: 'file', mode: 0o755, data: init },
  ]);
  if ((await readFile(target).catch(() => undefined))?.equals(archive)) return;
  await timed(`initramfs ${target}`, async () => {
    await writeFile(`${target}.${process.pid}`, archive);
    await rename(`${target}.${process.pid}`, target);
  });
}
