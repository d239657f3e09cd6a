import { createHash, randomBytes } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  createReadStream,
  existsSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import type { DiskFormat } from '../../backend/disk/file-spec.js';
import { createDisk, openDisk } from '../../backend/disk/open-disk.js';
import { hostDisks } from '../../backend/node/host-disks.js';
import { using } from '../disk/disk-verb.js';
import { copyDisk } from '../disk/disk-work.js';
import { aptSources } from './apt-sources.js';
import {
  debianFiles,
  debianLeftovers,
  debianLinks,
  debianPackages,
  partitionOffset,
} from './debian-recipe.js';
import { hostTools, runTool } from './host-tools.js';
import { partitionTable } from './partition-table.js';
import { diskName, type ImageRecord, imageFiles, imagesFolder } from './store.js';

/** What is asked of an image. */
export interface DebianOptions {
  readonly name: string;
  readonly suite: string;
  readonly sizeBytes: number;
  /** Besides those of the recipe. */
  readonly packages: readonly string[];
  readonly format: DiskFormat;
}

/** Gets each step as it begins. */
export type Say = (step: string) => void;

/**
 * Makes an image from Debian's packages, without root: mmdebstrap installs them in a user namespace,
 * mke2fs makes a file system of the tree, and a partition table goes before it. Kernel and initramfs
 * are put beside the disk. It appears under its name when it is whole; one of that name is replaced.
 */
export async function buildDebian(options: DebianOptions, say: Say): Promise<ImageRecord> {
  const folder = join(imagesFolder(), options.name);
  const work = `${folder}.${process.pid}.partial`;
  const tree = join(work, 'tree');
  const tools = hostTools();
  const sources = aptSources(options.suite);
  sweep(dirname(folder));
  try {
    mkdirSync(tree, { recursive: true });
    const rootfs = join(work, 'rootfs.tar');
    await runTool(tools.mmdebstrap, mmdebstrapArguments(options, sources, work, rootfs), {
      onLine: (line) => {
        const step = /^I: ((?:running apt|down|ex|inst|clean|creat)[^(]*)$/.exec(line)?.[1];
        if (step !== undefined && !step.includes('/')) say(step.replace(/\.*$/, ''));
      },
    });
    say('making the file system');
    const raw = join(work, diskName('raw'));
    makeDisk(raw, options.sizeBytes);
    // Both see the owners and devices that fakeroot remembers. It takes no capabilities of files: the
    // one that has some, ping, can do without by a setting of the recipe.
    const unpack = '"$1" -xf "$2" -C "$3" --numeric-owner';
    const blocks = `${(options.sizeBytes - partitionOffset) / 1024}k`;
    const format = `"$4" -q -F -t ext4 -L root -E "offset=${partitionOffset}" -d "$3" "$5" ${blocks}`;
    const names = [tools.tar, rootfs, tree, tools.mke2fs, raw];
    const script = ['sh', '-c', `${unpack} && ${format}`, 'sh', ...names];
    await runTool(tools.fakeroot, ['--', ...script], {});
    const kernelRelease = takeKernel(tree, work);
    const packages = installedPackages(readFileSync(join(tree, 'var/lib/dpkg/status'), 'utf8'));
    rmSync(rootfs);
    rmSync(tree, { recursive: true });
    rmSync(join(work, 'input'), { recursive: true });
    if (options.format === 'qcow2') await toQcow2(raw, join(work, diskName('qcow2')), say);
    say('computing its checksum');
    const disk = join(work, diskName(options.format));
    const record: ImageRecord = {
      name: options.name,
      distribution: 'debian',
      suite: options.suite,
      architecture: 'amd64',
      date: new Date().toISOString(),
      boot: 'direct',
      kernelRelease,
      format: options.format,
      sizeBytes: options.sizeBytes,
      sha256: await sha256(disk),
      packages,
    };
    writeFileSync(join(work, imageFiles.record), `${JSON.stringify(record, null, 2)}\n`);
    // What stands on it would be lost by a write to it.
    for (const file of readdirSync(work)) chmodSync(join(work, file), 0o444);
    rmSync(folder, { recursive: true, force: true });
    renameSync(work, folder);
    return record;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Takes away what builds that were killed left behind. */
function sweep(folder: string): void {
  if (!existsSync(folder)) return;
  for (const name of readdirSync(folder)) {
    const pid = /\.(\d+)\.partial$/.exec(name)?.[1];
    if (pid === undefined || existsSync(`/proc/${pid}`)) continue;
    rmSync(join(folder, name), { recursive: true, force: true });
  }
}

/** Writes what mmdebstrap is to read into `work`, and answers its arguments. */
function mmdebstrapArguments(
  { suite, packages }: DebianOptions,
  sources: { list: string; sources: string },
  work: string,
  target: string,
): string[] {
  const input = join(work, 'input');
  const files = join(input, 'files');
  for (const [path, text] of Object.entries(debianFiles)) {
    mkdirSync(dirname(join(files, path)), { recursive: true });
    writeFileSync(join(files, path), text);
  }
  for (const [path, to] of Object.entries(debianLinks)) {
    mkdirSync(dirname(join(files, path)), { recursive: true });
    symlinkSync(to, join(files, path));
  }
  const mirrors = (['list', 'sources'] as const)
    .filter((kind) => sources[kind] !== '')
    .map((kind) => {
      const path = join(input, `debian.${kind}`);
      writeFileSync(path, sources[kind]);
      return path;
    });
  const folders = readdirSync(files).map((name) => join(files, name));
  const leftovers = debianLeftovers.map((path) => `"$1"${path}`).join(' ');
  return [
    // Root needs no other kind of namespace either, and its mounts stay its own.
    ...[`--mode=${process.getuid?.() === 0 ? 'unshare' : 'auto'}`, '--variant=minbase'],
    ...['--architectures=amd64', `--include=${[...debianPackages, ...packages].join(',')}`],
    ...['--format=tar', `--essential-hook=copy-in ${folders.map(quoted).join(' ')} /`],
    ...[`--customize-hook=rm -f ${leftovers}`, suite, target, ...mirrors],
  ];
}

const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;

/** An empty disk with one partition. */
function makeDisk(path: string, sizeBytes: number): void {
  const file = openSync(path, 'w');
  ftruncateSync(file, sizeBytes);
  writeSync(file, partitionTable(partitionOffset, sizeBytes, randomBytes(4)));
  closeSync(file);
}

/** The kernel and, unpacked, its initramfs: our guests read faster than they inflate. */
function takeKernel(tree: string, work: string): string {
  const boot = join(tree, 'boot');
  const kernel = readdirSync(boot).find((name) => name.startsWith('vmlinuz-'))!;
  const release = kernel.slice('vmlinuz-'.length);
  renameSync(join(boot, kernel), join(work, imageFiles.kernel));
  const initrd = readFileSync(join(boot, `initrd.img-${release}`));
  writeFileSync(join(work, imageFiles.initrd), gunzipSync(initrd));
  return release;
}

/** `name=version` of each stanza of dpkg's database. */
function installedPackages(status: string): string[] {
  return status
    .split('\n\n')
    .filter((stanza) => /^Status: install ok installed$/m.test(stanza))
    .map((stanza) => ['Package', 'Version'].map((key) => fieldOf(stanza, key)).join('='))
    .sort();
}

const fieldOf = (stanza: string, key: string) =>
  new RegExp(`^${key}: (.*)$`, 'm').exec(stanza)?.[1] ?? '';

async function toQcow2(raw: string, path: string, say: Say): Promise<void> {
  say('converting it to qcow2');
  const plain = { direct: false, unlocked: false };
  const source = await openDisk(
    hostDisks,
    { path: raw, format: 'raw', ...plain },
    { writable: false },
  );
  await using([source], async () => {
    const spec = { path, format: 'qcow2', ...plain } as const;
    const target = await createDisk(hostDisks, spec, { sizeBytes: source.sizeBytes });
    await using([target], () => copyDisk(source, target, false, () => {}));
  });
  rmSync(raw);
}

async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk);
  return hash.digest('hex');
}
