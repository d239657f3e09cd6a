// `npm start`: installs, builds and fetches what is missing, then boots Debian's kernel to a shell.
// What follows `--` goes to `chassis run`: `npm start -- --memory 1G`.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { build } from './lib/build.mjs';
import { ensureGuests, guestFile } from './lib/guests.mjs';
import { ensureInstalled } from './lib/install.mjs';
import { root } from './lib/paths.mjs';
import { main, say } from './lib/step.mjs';

await main(async () => {
  await ensureInstalled();
  await build({ quiet: true });
  await ensureGuests();
  say('Starting Debian’s kernel. Ctrl-A h shows the keys, Ctrl-A x ends the machine.');
  say('A whole Debian with a disk and a network: bin/chassis run debian (docs/images.md).');
  const guest = [
    ...['--kernel', guestFile('vmlinuz-cloud-amd64')],
    ...['--initrd', guestFile('initramfs-amd64.cpio')],
    // The kernel's self-tests of its ciphers are more than half of its boot; nothing here uses them.
    ...['--append', 'console=ttyS0 cryptomgr.notests'],
  ];
  return new Promise((resolve) => {
    const args = [join(root, 'bin/chassis'), 'run', ...guest, ...process.argv.slice(2)];
    const child = spawn(process.execPath, args, { stdio: 'inherit' });
    // The machine's own process decides what these mean; this one only waits for it.
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
      process.on(signal, () => child.kill(signal));
    }
    child.on('close', (status) => resolve(status ?? 70));
  });
});
