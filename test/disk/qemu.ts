import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Why QEMU's tools cannot be asked; false when they can. */
export const noQemu: string | false = (() => {
  try {
    execFileSync('qemu-img', ['--version'], { stdio: 'pipe' });
    return false;
  } catch {
    return 'qemu-img is not installed (Debian: qemu-utils)';
  }
})();

/** Runs one of QEMU's tools in a folder; its words are the failure's message. */
export function qemu(folder: string, tool: 'qemu-img' | 'qemu-io', ...args: string[]): string {
  try {
    return execFileSync(tool, args, { cwd: folder, encoding: 'utf8', stdio: 'pipe' });
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    throw new Error(`${tool} ${args.join(' ')}: ${stdout}${stderr}`);
  }
}

/** A folder for the files of one test, gone at its end. */
export async function inFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'chassis-disk-'));
  try {
    await work(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
