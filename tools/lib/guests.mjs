import { mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { aptMissing, fetchFromPackage } from './apt.mjs';
import { buildInitramfs } from './initramfs.mjs';
import { guestDir } from './paths.mjs';
import { StepError, say } from './step.mjs';

/** Every guest file, by the name it has in the cache: which package has it, and where in it. */
const sources = {
  'bios-256k.bin': { arch: 'amd64', name: 'seabios', pattern: /\/bios-256k\.bin$/ },
  'bios-128k.bin': { arch: 'amd64', name: 'seabios', pattern: /\/bios\.bin$/ },
  'vgabios-stdvga.bin': { arch: 'amd64', name: 'seabios', pattern: /\/vgabios-stdvga\.bin$/ },
  'vmlinuz-cloud-amd64': {
    arch: 'amd64',
    name: 'linux-image-cloud-amd64',
    pattern: /^\/boot\/vmlinuz-/,
  },
  // A folder: the kernel's drivers for our devices, in whatever order they are loaded.
  'modules-cloud-amd64': {
    arch: 'amd64',
    name: 'linux-image-cloud-amd64',
    pattern:
      /\/(virtio(_(ring|pci|pci_modern_dev|pci_legacy_dev|mmio|blk|net|console|balloon)|-rng)?|(net_)?failover)\.ko$/,
    all: true,
  },
  'busybox-amd64': { arch: 'amd64', name: 'busybox-static', pattern: /\/bin\/busybox$/ },
  'memtest86+x64.bin': { arch: 'amd64', name: 'memtest86+', pattern: /\/memtest86\+?x64\.bin$/ },
  'vmlinuz-686': { arch: 'i386', name: 'linux-image-686', pattern: /^\/boot\/vmlinuz-/ },
  'busybox-i386': { arch: 'i386', name: 'busybox-static', pattern: /\/bin\/busybox$/ },
};

/** What `npm start` needs; the rest is for the tests of other guests. */
const toStart = ['bios-256k.bin', 'vmlinuz-cloud-amd64', 'busybox-amd64'];

/** The path of a guest file or initramfs in the cache, there or not. */
export function guestFile(name) {
  return join(guestDir, name);
}

async function exists(path) {
  return (await stat(path).catch(() => undefined)) !== undefined;
}

/** Fetches what is missing; says nothing and asks no network when all is there. */
export async function ensureGuests({ all = false } = {}) {
  await mkdir(guestDir, { recursive: true });
  const names = all ? Object.keys(sources) : toStart;
  const missing = [];
  for (const name of names) if (!(await exists(guestFile(name)))) missing.push(name);
  // Modules fit the kernel of their own package only.
  if (missing.includes('modules-cloud-amd64')) missing.push('vmlinuz-cloud-amd64');
  if (missing.length > 0) await fetchMissing(missing);
  for (const arch of all ? ['amd64', 'i386'] : ['amd64']) {
    await buildInitramfs(guestFile(`busybox-${arch}`), guestFile(`initramfs-${arch}.cpio`));
  }
  if (!all) return;
  const modules = guestFile('modules-cloud-amd64');
  await buildInitramfs(guestFile('busybox-amd64'), guestFile('initramfs-virtio.cpio'), modules);
}

async function fetchMissing(missing) {
  const lacking = await aptMissing();
  if (lacking) {
    throw new StepError(
      `${lacking} is not on this machine, so Debian's packages cannot be fetched. Either put these ` +
        `files into ${guestDir}: ${missing.join(', ')}; or call bin/chassis run with --kernel FILE ` +
        '(a Linux bzImage), --initrd FILE (an initramfs) and --firmware FILE (SeaBIOS bios-256k.bin)',
    );
  }
  say(`Fetching guest files from Debian's packages into ${guestDir} ...`);
  for (const [index, name] of missing.entries()) {
    const deb = await fetchFromPackage({ ...sources[name], target: guestFile(name) });
    await noteOrigin(name, deb);
    say(`  ${index + 1}/${missing.length} ${name} from ${deb}`);
  }
}

/** Which package each file came from, for the benchmark's table and for a report. */
async function noteOrigin(name, deb) {
  const file = join(guestDir, 'origins.json');
  const origins = await guestOrigins();
  origins[name] = deb;
  await writeFile(`${file}.${process.pid}`, `${JSON.stringify(origins, null, 2)}\n`);
  await rename(`${file}.${process.pid}`, file);
}

export async function guestOrigins() {
  return JSON.parse(await readFile(join(guestDir, 'origins.json'), 'utf8').catch(() => '{}'));
}
