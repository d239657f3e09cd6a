import { hostDisks } from '../../backend/node/host-disks.js';
import { exitStatus } from '../exit-status.js';
import { diskVerb, print, specAt } from './disk-verb.js';
import { commitDisk } from './disk-work.js';

export const commit = diskVerb('commit', {
  summary: 'move what an overlay has into its backing file',
  positional: 'FILE',
  counts: [1, 1],
  notes: 'The overlay is empty afterwards. Other overlays over the same backing file are spoiled.',
  examples: ['mine.qcow2,format=qcow2'],
  async run(args, progress) {
    const spec = specAt(args, 0);
    await commitDisk(hostDisks, spec, progress);
    print(args, { file: spec.path }, [`${spec.path}: committed to its backing file`]);
    return exitStatus.ok;
  },
});
