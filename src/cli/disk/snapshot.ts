import { openQcow2 } from '../../backend/disk/open-disk.js';
import {
  applySnapshot,
  createSnapshot,
  deleteSnapshot,
  listSnapshots,
} from '../../backend/disk/qcow2/snapshots.js';
import { hostDisks } from '../../backend/node/host-disks.js';
import { parseWord } from '../args.js';
import { exitStatus, usageError } from '../exit-status.js';
import { diskVerb, print, size, specAt, using } from './disk-verb.js';

export const snapshot = diskVerb('snapshot', {
  summary: 'keep what a disk holds, go back to it, or forget it',
  positional: 'FILE list|create|apply|delete [NAME]',
  counts: [2, 3],
  examples: [
    'root.qcow2,format=qcow2 create before-upgrade',
    'root.qcow2,format=qcow2 list',
    'root.qcow2,format=qcow2 apply before-upgrade',
    'root.qcow2,format=qcow2 delete before-upgrade',
  ],
  async run(args) {
    const spec = specAt(args, 0);
    const [, word = '', name] = args.positional;
    const what = parseWord('disk snapshot', word, ['list', 'create', 'apply', 'delete']);
    if ((what === 'list') !== (name === undefined)) {
      throw usageError(`disk snapshot ${what}: wanted ${name === undefined ? 'a' : 'no'} name`);
    }
    const disk = await openQcow2(hostDisks, spec, { writable: what !== 'list' });
    return using([disk], async () => {
      if (what === 'create') await createSnapshot(disk, name!, Date.now());
      else if (what === 'apply') await applySnapshot(disk, name!);
      else if (what === 'delete') await deleteSnapshot(disk, name!);
      const snapshots = (await listSnapshots(disk)).map((each) => ({
        id: each.id,
        name: each.name,
        date: new Date(each.dateSeconds * 1000).toISOString(),
        sizeBytes: each.sizeBytes,
      }));
      const lines = snapshots.map(
        (each) =>
          `${each.id.padEnd(4)}${each.name.padEnd(24)}${each.date}  ${size(each.sizeBytes)}`,
      );
      print(args, snapshots, what === 'list' ? lines : [`${spec.path}: ${what} ${name}: done`]);
      return exitStatus.ok;
    });
  },
});
