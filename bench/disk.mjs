import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from '../tools/lib/step.mjs';
import { median, table } from './table.mjs';

const totalBytes = 512 << 20;
const requestBytes = 64 << 10;
const depth = 64;
const rounds = 7;
/** In memory where there is such a folder: the host's disk is not what is measured. */
const place = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();

/** Seconds to write a new image from its beginning to its end, `depth` requests at a time. */
async function writeOurs(path) {
  const { createDisk } = await import('../dist/backend/disk/open-disk.js');
  const { parseFileSpec } = await import('../dist/backend/disk/file-spec.js');
  const { hostDisks } = await import('../dist/backend/node/host-disks.js');
  const spec = parseFileSpec(`${path},format=qcow2`);
  const disk = await createDisk(hostDisks, spec, { sizeBytes: totalBytes });
  const bytes = new Uint8Array(requestBytes).fill(1);
  const start = performance.now();
  let next = 0;
  const worker = async () => {
    while (next < totalBytes) {
      const offset = next;
      next += requestBytes;
      await disk.write(offset, bytes);
    }
  };
  await Promise.all(Array.from({ length: depth }, worker));
  const seconds = (performance.now() - start) / 1000;
  await disk.close();
  return seconds;
}

async function writeQemu(path) {
  await run('qemu-img', ['create', '-f', 'qcow2', path, `${totalBytes}`], { quiet: true });
  const bench = ['bench', '-w', '-f', 'qcow2', '-c', `${totalBytes / requestBytes}`];
  const sizes = ['-s', `${requestBytes}`, '-S', `${requestBytes}`, '-d', `${depth}`];
  const text = await run('qemu-img', [...bench, ...sizes, path], { quiet: true });
  return Number(/completed in ([\d.]+) seconds/.exec(text)[1]);
}

/** Sequential writes to a new qcow2 image through the host's page cache, taking turns with QEMU. */
export async function benchDisk() {
  const folder = await mkdtemp(join(place, 'chassis-bench-'));
  const seconds = { ours: [], qemu: [] };
  try {
    let qemu = true;
    for (let round = 0; round < rounds; round++) {
      seconds.ours.push(await writeOurs(join(folder, `ours${round}.qcow2`)));
      if (qemu) {
        await writeQemu(join(folder, `qemu${round}.qcow2`))
          .then((time) => seconds.qemu.push(time))
          .catch(() => {
            qemu = false;
          });
      }
      for (const name of ['ours', 'qemu']) {
        await rm(join(folder, `${name}${round}.qcow2`), { force: true });
      }
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  const rate = (times) => totalBytes / 2 ** 20 / median(times);
  const row = (name, times) => [
    name,
    times.map((time) => time.toFixed(2)).join(' '),
    times.length === 0 ? '-' : rate(times).toFixed(0),
    times.length === 0 || seconds.qemu.length === 0
      ? '-'
      : (rate(times) / rate(seconds.qemu)).toFixed(2),
  ];
  const text = table(
    ['qcow2 sequential write', 'seconds', 'MiB/s', 'x qemu-img'],
    [row('chassis', seconds.ours), row('qemu-img bench', seconds.qemu)],
  );
  return { text, data: seconds };
}
