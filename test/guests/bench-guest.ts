import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { chassisPath } from '../cli/chassis.js';

const repository = join(chassisPath, '../..');

/** For a test's options: why this machine cannot build the benchmark's guest program, if so. */
export function needsCompiler(bits: 32 | 64): { skip: string | false } {
  const source = 'int main;';
  const args = [`-m${bits}`, '-ffreestanding', '-xc', '-c', '-o/dev/null', '-'];
  const { status } = spawnSync('gcc', args, { input: source });
  const packages = bits === 32 ? 'gcc gcc-multilib' : 'gcc';
  return { skip: status !== 0 && `no gcc -m${bits}; on Debian: apt-get install ${packages}` };
}

/**
 * Runs all kernels of the benchmark's guest program under Chassis and on this machine's processor, each
 * for about so many seconds, and wants the same checksums.
 */
export function compareWithNative(bits: 32 | 64, seconds: number): void {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [
      ...[join(repository, 'bench/guest.mjs'), '--bits', `${bits}`, '--peer', 'native,chassis'],
      ...['--rounds', '1', '--seconds', `${seconds}`],
    ],
    { encoding: 'utf8' },
  );
  assert.equal(status, 0, `${stdout}\n${stderr}`);
  for (const kernel of ['integer', 'sha256', 'fp-double', 'copy-rep', 'exec', 'pipe']) {
    assert.match(stdout, new RegExp(`^${kernel} `, 'm'));
  }
}
