import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseFileSpec } from '#src/backend/disk/file-spec.js';
import { createDisk, openDisk } from '#src/backend/disk/open-disk.js';
import { checkImage } from '#src/backend/disk/qcow2/check.js';
import type { Qcow2Options } from '#src/backend/disk/qcow2/create-qcow2.js';
import { incompatible } from '#src/backend/disk/qcow2/header.js';
import { readHeader } from '#src/backend/disk/qcow2/image.js';
import { hostDisks } from '#src/backend/node/host-disks.js';
import { diskBytes, requests } from './kill-ops.js';
import { Ledger } from './ledger.js';
import { noQemu, qemu } from './qemu.js';
import { Random } from './random.js';

const writer = join(fileURLToPath(import.meta.url), '../kill-writer.js');

/** Kills a process that writes to an image, again and again; throws when flushed data is lost. */
export async function killWriters(
  folder: string,
  options: Omit<Qcow2Options, 'backing' | 'dataFile'>,
  seed: number,
  rounds: number,
): Promise<void> {
  const path = join(folder, 'killed.qcow2');
  const spec = parseFileSpec(`${path},format=qcow2`);
  await (await createDisk(hostDisks, spec, { ...options, sizeBytes: diskBytes })).close();
  let contents = new Uint8Array(diskBytes);
  for (let round = 0; round < rounds; round++) {
    const lifeSeed = seed * 1000 + round;
    const safe = await lifeOf(`${path},format=qcow2`, lifeSeed);
    const ledger = new Ledger(contents);
    let done = 0;
    for (const { offset, bytes } of requests(lifeSeed)) {
      if (done++ < safe) ledger.settle(offset, bytes);
      else ledger.allow(offset, bytes);
      // No life is long enough for so many requests that were not flushed.
      if (done > safe + 200) break;
    }
    const file = await hostDisks.open(path, { writable: false });
    const header = await readHeader(file);
    const report = await checkImage(file, header, false);
    await file.close();
    const dirty = (header.incompatible & incompatible.dirty) !== 0;
    if (report.corruptions > 0 && !dirty) throw new Error(report.messages.join('; '));
    const disk = await openDisk(hostDisks, spec, { writable: round % 2 === 0 });
    contents = new Uint8Array(diskBytes);
    await disk.read(0, contents);
    await disk.close();
    ledger.check(contents, `round ${round}, ${safe} requests flushed`);
  }
  await (await openDisk(hostDisks, spec, { writable: true })).close();
  if (noQemu === false) qemu(folder, 'qemu-img', 'check', '-r', 'leaks', 'killed.qcow2');
}

/** How many requests were flushed when the writer was killed. */
function lifeOf(spec: string, seed: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [writer, spec, `${seed}`], { stdio: 'pipe' });
    let out = '';
    let err = '';
    child.stderr.on('data', (text) => {
      err += text;
    });
    child.stdout.setEncoding('utf8').on('data', (text) => {
      if (out === '') setTimeout(() => child.kill('SIGKILL'), new Random(seed).below(150));
      out += text;
    });
    child.on('close', (_, signal) => {
      if (signal !== 'SIGKILL') reject(new Error(`the writer ended by itself: ${err}`));
      resolve(Number(out.slice(0, out.lastIndexOf('\n')).split('\n').at(-1)) || 0);
    });
  });
}
