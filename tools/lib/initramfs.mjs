import { readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
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
for module in $(cat /modules/order 2>/dev/null); do insmod /modules/$module.ko; done
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

/** Drivers of virtio devices: each after what it needs. */
const moduleOrder = [
  ...['virtio_ring', 'virtio', 'virtio_pci_modern_dev', 'virtio_pci_legacy_dev', 'virtio_pci'],
  ...['virtio_mmio', 'virtio_blk', 'virtio-rng', 'virtio_console', 'virtio_balloon'],
  ...['failover', 'net_failover', 'virtio_net'],
];

/** The modules in the folder, and the order to load them in. */
async function moduleFiles(folder) {
  const have = await readdir(folder);
  const names = moduleOrder.filter((name) => have.includes(`${name}.ko`));
  const files = [];
  for (const name of names) {
    const data = await readFile(join(folder, `${name}.ko`));
    files.push({ path: `modules/${name}.ko`, kind: 'file', mode: 0o644, data });
  }
  const order = { path: 'modules/order', kind: 'file', mode: 0o644, data: `${names.join('\n')}\n` };
  return [{ path: 'modules', kind: 'directory', mode: 0o755 }, order, ...files];
}

/**
 * Writes the initramfs unless it is there already. It is left uncompressed: the guest's CPU is
 * slower at inflating than the host's disk at reading. `modules`: a folder of kernel modules, which are loaded first.
 */
export async function buildInitramfs(busybox, target, modules) {
  const directory = (path) => ({ path, kind: 'directory', mode: 0o755 });
  const archive = cpioArchive([
    ...['bin', 'dev', 'etc', 'proc', 'root', 'sbin', 'sys', 'tmp'].map(directory),
    { path: 'dev/console', kind: 'device', mode: 0o600, major: 5, minor: 1 },
    { path: 'bin/busybox', kind: 'file', mode: 0o755, data: await readFile(busybox) },
    { path: 'etc/profile', kind: 'file', mode: 0o644, data: profile },
    ...(modules === undefined ? [] : await moduleFiles(modules)),
    { path: 'init', kind: 'file', mode: 0o755, data: init },
  ]);
  if ((await readFile(target).catch(() => undefined))?.equals(archive)) return;
  await timed(`initramfs ${target}`, async () => {
    await writeFile(`${target}.${process.pid}`, archive);
    await rename(`${target}.${process.pid}`, target);
  });
}
