import { openDisk } from '../../backend/disk/open-disk.js';
import { hostDisks } from '../../backend/node/host-disks.js';
import { exitStatus } from '../exit-status.js';
import { diskVerb, print, specAt, using } from './disk-verb.js';
import { extents } from './disk-work.js';

export const map = diskVerb('map', {
  summary: 'show where the disk’s bytes are',
  positional: 'FILE',
  counts: [1, 1],
  notes: 'Depth counts the backing files below the image; a hole is in none of them.',
  examples: ['mine.qcow2,format=qcow2', 'mine.qcow2,format=qcow2 --json'],
  async run(args, progress) {
    const disk = await openDisk(hostDisks, specAt(args, 0), { writable: false });
    return using([disk], async () => {
      const found: Record<string, unknown>[] = [];
      for await (const { offset, length, kind, depth, hostOffset } of extents(disk)) {
        found.push({
          offset,
          length,
          kind,
          depth,
          ...(hostOffset === undefined ? {} : { hostOffset }),
        });
        progress((offset + length) / disk.sizeBytes);
      }
      const cells = [['offset', 'length', 'kind', 'depth', 'in the file']];
      for (const { offset, length, kind, depth, hostOffset } of found) {
        cells.push([offset, length, kind, depth, hostOffset ?? ''].map(String));
      }
      const lines = cells.map((row) =>
        row
          .map((cell) => cell.padEnd(14))
          .join('')
          .trimEnd(),
      );
      print(args, found, lines);
      return exitStatus.ok;
    });
  },
});
