import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { SystemProgram } from './programs.js';

/** The sources, from dist/test/isa/system. */
export const sourceFolder = fileURLToPath(new URL('../../../../test/isa/system/', import.meta.url));
export const fixtureFolder = join(sourceFolder, 'fixtures');

const QEMU = 'qemu-system-x86_64';
const BOCHS = 'bochs';

/** Tells whether a program's committed image is of these sources. */
export function sourceDigest(program: SystemProgram): string {
  const hash = createHash('sha256');
  const seen = new Set<string>();
  const take = (file: string): void => {
    if (seen.has(file)) return;
    seen.add(file);
    const text = readFileSync(join(sourceFolder, file), 'utf8');
    hash.update(text);
    for (const [, name] of text.matchAll(/^\.include "(.*)"$/gm)) take(name!);
  };
  take(`${program.name}.S`);
  return hash.digest('hex');
}

export function assemble(program: SystemProgram): Uint8Array {
  return inFolder((folder) => {
    const object = join(folder, 'o');
    const image = join(folder, 'bin');
    const source = `${program.name}.S`;
    execFileSync('as', ['--64', '-o', object, source], { cwd: sourceFolder });
    const flat = ['--oformat', 'binary', '-Ttext', '0', '-e', '0'];
    execFileSync('ld', ['-m', 'elf_x86_64', ...flat, '-o', image, object]);
    return readFileSync(image);
  });
}

export function hasQemu(): boolean {
  return spawnSync(QEMU, ['--version']).status === 0;
}

export function runQemu(image: Uint8Array): string {
  return inFolder((folder) => {
    const rom = join(folder, 'rom');
    const out = join(folder, 'out');
    writeFileSync(rom, image);
    const machine = ['-M', 'pc', '-accel', 'tcg', '-cpu', 'max', '-m', '64', '-bios', rom];
    const console = [
      '-chardev',
      `file,id=d,path=${out}`,
      '-device',
      'isa-debugcon,iobase=0x402,chardev=d',
    ];
    const rest = ['-display', 'none', '-monitor', 'none', '-serial', 'none', '-net', 'none'];
    spawnSync(QEMU, [...machine, ...console, '-device', 'isa-debug-exit,iobase=0xf4', ...rest], {
      timeout: 60_000,
    });
    return readFileSync(out, 'latin1');
  });
}

/** Debian's Bochs has its debugger in: it is told to go on, and talks around the transcript. */
export function runBochs(image: Uint8Array): string {
  return inFolder((folder) => {
    writeFileSync(join(folder, 'rom'), image);
    const settings = [
      'romimage: file=rom, address=0xffff0000',
      'vgaromimage: file=/usr/share/vgabios/vgabios.bin',
      'memory: guest=64, host=64',
      'cpu: model=corei7_icelake_u, count=1, ips=100000000, reset_on_triple_fault=1',
      'port_e9_hack: enabled=1',
      'display_library: rfb, options="timeout=0"',
      'log: log',
      'panic: action=fatal',
      'error: action=ignore',
      'info: action=ignore',
      'clock: sync=none',
    ];
    writeFileSync(join(folder, 'rc'), settings.join('\n'));
    const { stdout } = spawnSync(BOCHS, ['-q', '-f', 'rc'], {
      cwd: folder,
      input: 'c\nq\n',
      encoding: 'latin1',
      timeout: 60_000,
    });
    const lines = stdout.split('\n');
    const from = lines.findIndex((line) => line.startsWith('(0) [')) + 1;
    const length = lines.slice(from).findIndex((line) => line.startsWith('(0).['));
    const said = lines.slice(from, from + length).filter((line) => !line.startsWith('<bochs:'));
    return `${said.join('\n')}\n`;
  });
}

function inFolder<T>(use: (folder: string) => T): T {
  const folder = mkdtempSync(join(tmpdir(), 'chassis-system-'));
  try {
    return use(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
