import { type CheckReport, checkImage } from '../../backend/disk/qcow2/check.js';
import { readHeader } from '../../backend/disk/qcow2/image.js';
import { hostDisks } from '../../backend/node/host-disks.js';
import type { ParsedArgs } from '../args.js';
import { exitStatus, usageError } from '../exit-status.js';
import { diskVerb, print, specAt } from './disk-verb.js';

/** As `qemu-img check` ends. */
const status = { corrupt: 2, leaks: 3 };

async function scan(
  args: ParsedArgs,
  progress: (fraction: number) => void,
  fix: boolean,
): Promise<{ report: CheckReport; path: string }> {
  const { path, format, unlocked } = specAt(args, 0);
  if (format !== 'qcow2') throw usageError(`${path}: a raw disk has nothing to check`);
  const file = await hostDisks.open(path, { writable: fix, unlocked });
  try {
    return { report: await checkImage(file, await readHeader(file), fix, progress), path };
  } finally {
    await file.close();
  }
}

function show(args: ParsedArgs, { report, path }: Awaited<ReturnType<typeof scan>>, what: string) {
  const { corruptions, leaks, allocatedClusters, totalClusters, compressedClusters } = report;
  const plural = (count: number, noun: string) => `${count} ${noun}${count === 1 ? '' : 's'}`;
  print(args, { file: path, ...report }, [
    ...report.messages,
    `${path}: ${plural(corruptions, 'corruption')} and ${plural(leaks, 'leaked cluster')} ${what}`,
    `${allocatedClusters} of ${totalClusters} clusters allocated, ${compressedClusters} compressed`,
  ]);
}

export const check = diskVerb('check', {
  summary: 'look whether a qcow2 image is consistent',
  positional: 'FILE',
  counts: [1, 1],
  notes: 'Ends with 0 when it is, 2 when it is corrupt, 3 when clusters are leaked.',
  examples: ['root.qcow2,format=qcow2', 'root.qcow2,format=qcow2 --json'],
  async run(args, progress) {
    const found = await scan(args, progress, false);
    show(args, found, 'found');
    if (found.report.corruptions > 0) return status.corrupt;
    return found.report.leaks > 0 ? status.leaks : exitStatus.ok;
  },
});

export const repair = diskVerb('repair', {
  summary: 'mend what check finds',
  positional: 'FILE',
  counts: [1, 1],
  notes:
    'Counts are made anew, and entries that point outside the file are cleared: what they pointed to\n' +
    'is lost. Keep a copy of an image that is of worth.',
  examples: ['root.qcow2,format=qcow2'],
  async run(args, progress) {
    show(args, await scan(args, progress, true), 'mended');
    return exitStatus.ok;
  },
});
