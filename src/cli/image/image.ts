import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { describeFlags, type FlagTable, type ParsedArgs, parseArgs } from '../args.js';
import { print, size } from '../disk/disk-verb.js';
import { exitStatus, usageError } from '../exit-status.js';
import type { Verb } from '../verb.js';
import { verbGroup } from '../verb-group.js';
import { build, checkUnused } from './build.js';
import {
  diskName,
  folderBytes,
  type ImageRecord,
  imageFiles,
  imageNamed,
  imagesFolder,
  listImages,
  vmsOf,
} from './store.js';

const flags: FlagTable = { json: { help: 'the result as JSON, for programs' } };

/** A verb with no flags of its own; `counts` is how many names it takes. */
function imageVerb(
  name: string,
  summary: string,
  counts: 0 | 1,
  work: (args: ParsedArgs) => void,
): Verb {
  const positional = counts === 0 ? '' : ' NAME';
  const example = counts === 0 ? '' : ' debian-bookworm';
  return {
    summary,
    usage: () =>
      `usage: chassis image ${name} [flags]${positional}\n\n${describeFlags(flags)}\n` +
      `Examples:\n  chassis image ${name}${example}\n  chassis image ${name}${example} --json\n`,
    async run(argv) {
      const args = parseArgs(argv, flags);
      const { length } = args.positional;
      if (length !== counts) {
        const wanted = counts === 0 ? 'none' : 'one, the image’s name';
        throw usageError(`image ${name}: found ${length} arguments, wanted ${wanted}`);
      }
      work(args);
      return exitStatus.ok;
    },
  };
}

const bytesOf = ({ name }: ImageRecord) => folderBytes(join(imagesFolder(), name));

const verbs: Readonly<Record<string, Verb>> = {
  build,
  list: imageVerb('list', 'show the images that are there', 0, (args) => {
    const found = listImages().map((record) => {
      const { packages, ...rest } = record;
      return { ...rest, packages: packages.length, hostBytes: bytesOf(record) };
    });
    const lines = found.map(({ name, suite, format, sizeBytes, hostBytes, date }) =>
      [name, suite, format, size(sizeBytes), `${size(hostBytes)} here`, date.slice(0, 10)].join(
        '  ',
      ),
    );
    print(args, found, lines);
  }),
  inspect: imageVerb('inspect', 'show what is in an image', 1, (args) => {
    const record = imageNamed(args.positional[0]!);
    const folder = join(imagesFolder(), record.name);
    const files = {
      disk: join(folder, diskName(record.format)),
      kernel: join(folder, imageFiles.kernel),
      initrd: join(folder, imageFiles.initrd),
    };
    const vms = vmsOf(record.name);
    const { packages, ...rest } = record;
    const shown = { ...rest, hostBytes: bytesOf(record), ...files, vms: vms.join(' ') };
    const lines = Object.entries(shown).map(([key, value]) => `${key}: ${value}`);
    lines.push(`packages: ${packages.length}`, ...packages.map((each) => `  ${each}`));
    print(args, { ...record, hostBytes: shown.hostBytes, ...files, vms }, lines);
  }),
  rm: imageVerb('rm', 'take an image away', 1, (args) => {
    const { name } = imageNamed(args.positional[0]!);
    checkUnused(name);
    rmSync(join(imagesFolder(), name), { recursive: true });
    print(args, { removed: name }, []);
  }),
};

/** `chassis image VERB`: disks that VMs start from. */
export const image: Verb = verbGroup({
  name: 'image',
  summary: 'make, list and remove images, which VMs start from',
  verbs,
  helpShows: 'its flags',
  example: 'chassis image build debian --suite bookworm --size 4G',
});
