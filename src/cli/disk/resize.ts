import { openDisk } from '../../backend/disk/open-disk.js';
import { hostDisks } from '../../backend/node/host-disks.js';
import { parseSize } from '../args.js';
import { exitStatus, usageError } from '../exit-status.js';
import { diskVerb, print, size, specAt, using } from './disk-verb.js';

export const resize = diskVerb('resize', {
  summary: 'make a disk larger or smaller',
  positional: 'FILE SIZE',
  counts: [2, 2],
  flags: { shrink: { help: 'allows to cut off what is beyond the new size' } },
  notes: 'SIZE is the new one, or begins with + for how much is added.',
  examples: ['root.qcow2,format=qcow2 40G', 'root.raw,format=raw +1G'],
  async run(args) {
    const spec = specAt(args, 0);
    const disk = await openDisk(hostDisks, spec, { writable: true });
    return using([disk], async () => {
      const wanted = args.positional[1]!;
      const added = wanted.startsWith('+');
      const bytes = parseSize('SIZE', wanted.slice(added ? 1 : 0)) + (added ? disk.sizeBytes : 0);
      if (bytes < disk.sizeBytes && !args.has('shrink')) {
        const lost = size(disk.sizeBytes - bytes);
        throw usageError(`SIZE: ${wanted} cuts off ${lost} of ${spec.path}; --shrink allows it`);
      }
      await disk.resize!(bytes);
      print(args, { file: spec.path, sizeBytes: bytes }, [`${spec.path}: ${size(bytes)}`]);
      return exitStatus.ok;
    });
  },
});
