import { openDisk } from '../../backend/disk/open-disk.js';
import { incompatible } from '../../backend/disk/qcow2/header.js';
import { Qcow2Disk } from '../../backend/disk/qcow2/qcow2-disk.js';
import { listSnapshots } from '../../backend/disk/qcow2/snapshots.js';
import type { RawDisk } from '../../backend/disk/raw-disk.js';
import { hostDisks } from '../../backend/node/host-disks.js';
import { exitStatus } from '../exit-status.js';
import { diskVerb, print, size, specAt, using } from './disk-verb.js';

export const info = diskVerb('info', {
  summary: 'show what an image is',
  positional: 'FILE',
  counts: [1, 1],
  examples: ['root.qcow2,format=qcow2', 'root.qcow2,format=qcow2,lock=off --json'],
  async run(args) {
    const spec = specAt(args, 0);
    const disk = await openDisk(hostDisks, spec, { writable: false, alone: true });
    return using([disk], async () => {
      const { file } = disk instanceof Qcow2Disk ? disk.image : (disk as RawDisk);
      const found = {
        file: spec.path,
        format: spec.format,
        sizeBytes: disk.sizeBytes,
        allocatedBytes: await file.allocatedBytes(),
        ...(disk instanceof Qcow2Disk ? await describe(disk) : {}),
      };
      const lines = Object.entries(found).map(([key, value]) => `${title(key)}: ${text(value)}`);
      print(args, found, lines);
      return exitStatus.ok;
    });
  },
});

async function describe(disk: Qcow2Disk): Promise<Record<string, unknown>> {
  const { header } = disk.image;
  const is = (bit: number) => (header.incompatible & bit) !== 0;
  const snapshots = (await listSnapshots(disk)).map(({ id, name, dateSeconds, sizeBytes }) => ({
    id,
    name,
    date: new Date(dateSeconds * 1000).toISOString(),
    sizeBytes,
  }));
  return {
    version: header.version,
    clusterBytes: disk.discardUnitBytes,
    refcountBits: 1 << header.refcountOrder,
    compression: header.compression,
    lazyRefcounts: disk.image.lazy,
    extendedL2: is(incompatible.extendedL2),
    dirty: is(incompatible.dirty),
    corrupt: is(incompatible.corrupt),
    ...(header.backing === undefined ? {} : { backing: header.backing }),
    ...(is(incompatible.dataFile) ? { dataFile: header.dataFile ?? '' } : {}),
    ...(snapshots.length === 0 ? {} : { snapshots }),
  };
}

/** `clusterBytes` as `cluster`. */
const title = (key: string) =>
  key
    .replace(/Bytes$/, '')
    .replace(/[A-Z]+/g, (upper) => ` ${upper.toLowerCase()}`)
    .trim();

function text(value: unknown): string {
  if (typeof value === 'number')
    return value < 512 ? `${value}` : `${size(value)} (${value} bytes)`;
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  if (Array.isArray(value)) return value.map((each) => `\n  ${text(each)}`).join('');
  if (typeof value === 'object' && value !== null) return Object.values(value).join('  ');
  return String(value);
}
