import { openDisk } from '../../backend/disk/open-disk.js';
import { hostDisks } from '../../backend/node/host-disks.js';
import { exitStatus } from '../exit-status.js';
import { diskVerb, print, specAt, using } from './disk-verb.js';
import { compareDisks } from './disk-work.js';

const different = 1;

export const compare = diskVerb('compare', {
  summary: 'look whether two disks hold the same',
  positional: 'FILE FILE',
  counts: [2, 2],
  flags: { strict: { help: 'two sizes are a difference, also where the rest is zero' } },
  notes: 'Ends with 0 when they do, 1 when they do not.',
  examples: ['a.raw,format=raw b.qcow2,format=qcow2'],
  async run(args, progress) {
    const a = await openDisk(hostDisks, specAt(args, 0), { writable: false });
    return using([a], async () => {
      const b = await openDisk(hostDisks, specAt(args, 1), { writable: false });
      return using([b], async () => {
        const at = await compareDisks(a, b, progress);
        const sizes = args.has('strict') && a.sizeBytes !== b.sizeBytes;
        const same = at === undefined && !sizes;
        const where = at === undefined ? 'in their sizes' : `at byte ${at}`;
        const json = { same, ...(at === undefined ? {} : { offset: at }) };
        print(args, json, [same ? 'the disks hold the same' : `the disks differ ${where}`]);
        return same ? exitStatus.ok : different;
      });
    });
  },
});
