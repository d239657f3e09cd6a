import { writeSync } from 'node:fs';
import { parseFileSpec } from '#src/backend/disk/file-spec.js';
import { openDisk } from '#src/backend/disk/open-disk.js';
import { hostDisks } from '#src/backend/node/host-disks.js';
import { requests } from './kill-ops.js';

// Writes until it is killed, and says after each flush how many requests are safe.
const [spec, seed] = process.argv.slice(2) as [string, string];
const disk = await openDisk(hostDisks, parseFileSpec(spec), { writable: true });
let done = 0;
writeSync(1, 'open\n');
for (const { offset, bytes, flush } of requests(Number(seed))) {
  if (bytes[0] === 0) await disk.writeZeroes(offset, bytes.length, true);
  else await disk.write(offset, bytes);
  done++;
  if (!flush) continue;
  await disk.flush();
  writeSync(1, `${done}\n`);
}
