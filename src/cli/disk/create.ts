import { existsSync, rmSync } from 'node:fs';
import { createDisk } from '../../backend/disk/open-disk.js';
import { hostDisks } from '../../backend/node/host-disks.js';
import { parseSize } from '../args.js';
import { exitStatus } from '../exit-status.js';
import { checkNew, diskVerb, imageFlags, imageOptions, print, size, specAt } from './disk-verb.js';

export const create = diskVerb('create', {
  summary: 'make an empty disk, or an overlay over another',
  positional: 'FILE [SIZE]',
  counts: [1, 2],
  flags: imageFlags,
  notes: 'An overlay is as large as its backing file where no size is given.',
  examples: [
    'root.qcow2,format=qcow2 20G',
    'scratch.raw,format=raw 512M',
    'mine.qcow2,format=qcow2,backing=base.qcow2,backing-format=qcow2',
    'root.qcow2,format=qcow2,data-file=root.data 20G',
  ],
  async run(args) {
    const spec = specAt(args, 0);
    checkNew(args, spec.path, spec.dataFile);
    const wanted = args.positional[1];
    const sizeBytes = wanted === undefined ? undefined : parseSize('SIZE', wanted);
    const options = { ...imageOptions(args), sizeBytes };
    const existed = existsSync(spec.path);
    const disk = await createDisk(hostDisks, spec, options).catch((error) => {
      if (!existed) rmSync(spec.path, { force: true });
      throw error;
    });
    const made = { file: spec.path, format: spec.format, sizeBytes: disk.sizeBytes };
    await disk.close();
    print(args, made, [`${spec.path}: ${spec.format}, ${size(made.sizeBytes)}`]);
    return exitStatus.ok;
  },
});
