import { existsSync, renameSync, rmSync } from 'node:fs';
import { createDisk, openDisk } from '../../backend/disk/open-disk.js';
import { hostDisks } from '../../backend/node/host-disks.js';
import { exitStatus, usageError } from '../exit-status.js';
import {
  checkNew,
  diskVerb,
  imageFlags,
  imageOptions,
  print,
  size,
  specAt,
  using,
} from './disk-verb.js';
import { copyDisk } from './disk-work.js';

export const convert = diskVerb('convert', {
  summary: 'copy a disk into another format',
  positional: 'FROM TO',
  counts: [2, 2],
  flags: { compress: { help: 'compresses the clusters' }, ...imageFlags },
  notes:
    'The copy has all that the backing files show, and none itself. Zeroes take no room.\n' +
    'It is made as TO.partial and gets its name when it is whole.',
  examples: [
    'a.raw,format=raw b.qcow2,format=qcow2',
    '--compress --compression zstd a.raw,format=raw b.qcow2,format=qcow2',
  ],
  async run(args, progress) {
    const [from, to] = [specAt(args, 0), specAt(args, 1)];
    if (to.backing !== undefined) throw usageError('disk convert: the copy has no backing file');
    if (args.has('compress') && (to.format !== 'qcow2' || to.dataFile !== undefined)) {
      throw usageError('--compress is for format=qcow2 without a data file');
    }
    const source = await openDisk(hostDisks, from, { writable: false });
    return using([source], async () => {
      if (hostDisks.resolve('', from.path) === hostDisks.resolve('', to.path)) {
        throw usageError(`disk convert: found ${from.path} twice, wanted two files`);
      }
      checkNew(args, to.path, to.dataFile);
      // Whoever uses the file that is replaced must not go on with one that has no name.
      if (existsSync(to.path))
        await hostDisks.open(to.path, { writable: true }).then((file) => file.close());
      const { sizeBytes } = source;
      const partial = `${to.path}.partial`;
      try {
        const made = { ...to, path: partial };
        const target = await createDisk(hostDisks, made, { ...imageOptions(args), sizeBytes });
        await using([target], () => copyDisk(source, target, args.has('compress'), progress));
        renameSync(partial, to.path);
      } finally {
        rmSync(partial, { force: true });
      }
      print(args, { file: to.path, sizeBytes }, [`${to.path}: ${to.format}, ${size(sizeBytes)}`]);
      return exitStatus.ok;
    });
  },
});
