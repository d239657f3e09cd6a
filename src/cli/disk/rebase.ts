import { parseFileSpec } from '../../backend/disk/file-spec.js';
import { hostDisks } from '../../backend/node/host-disks.js';
import { exitStatus } from '../exit-status.js';
import { diskVerb, print, specAt } from './disk-verb.js';
import { rebaseDisk } from './disk-work.js';

export const rebase = diskVerb('rebase', {
  summary: 'give an overlay another backing file, or none',
  positional: 'FILE [BACKING]',
  counts: [1, 2],
  flags: { unsafe: { help: 'changes the name only: the new file shows what the old one did' } },
  notes: 'What the disk shows stays the same: what the two backing files have different is copied.',
  examples: [
    'mine.qcow2,format=qcow2 newbase.qcow2,format=qcow2',
    'mine.qcow2,format=qcow2',
    '--unsafe mine.qcow2,format=qcow2 moved/base.raw,format=raw',
  ],
  async run(args, progress) {
    const spec = specAt(args, 0);
    const name = args.positional[1];
    const backing = name === undefined ? undefined : parseFileSpec(name);
    await rebaseDisk(hostDisks, spec, backing, args.has('unsafe'), progress);
    const now = backing === undefined ? 'no backing file' : `${backing.path} behind it`;
    print(args, { file: spec.path, backing: backing?.path ?? null }, [`${spec.path}: ${now}`]);
    return exitStatus.ok;
  },
});
