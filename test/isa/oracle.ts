/** Builds and runs the native oracle; says why where it cannot. */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Path of native.c: sources stay in test/, compiled tests run from dist/. */
const source = fileURLToPath(new URL('../../../test/isa/native.c', import.meta.url));

export interface Oracle {
  readonly path: string;
  /** It runs 16-bit code: the kernel lets processes have LDT segments. */
  readonly has16: boolean;
}

/** The built oracle's path, or the reason why there is none. */
export function buildOracle(): Oracle | { missing: string } {
  if (process.arch !== 'x64' || process.platform !== 'linux')
    return { missing: 'the host is not x86-64 Linux' };
  if (spawnSync('gcc', ['--version']).error)
    return { missing: 'gcc is not installed (apt-get install gcc libc6-dev)' };
  const folder = mkdtempSync(join(tmpdir(), 'chassis-isa-'));
  const path = join(folder, 'native');
  const flags = ['-O2', '-mno-red-zone', '-fno-stack-protector', '-Wl,-z,now'];
  execFileSync('gcc', [...flags, '-o', path, source]);
  return { path, has16: spawnSync(path, ['probe']).status === 0 };
}

/** Answers of the host CPU. */
export function askOracle(path: string, cases: Uint8Array): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const child = spawn(path, [], { stdio: ['pipe', 'pipe', 'inherit'] });
    const parts: Buffer[] = [];
    child.stdout.on('data', (part: Buffer) => parts.push(part));
    child.on('error', reject);
    child.on('close', (status, signal) => {
      if (status === 0) {
        const all = Buffer.concat(parts);
        resolve(new Uint8Array(all.buffer, all.byteOffset, all.length));
      } else reject(new Error(`the native oracle ended with ${signal ?? status}`));
    });
    child.stdin.end(cases);
  });
}
