import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The command as a user calls it. */
export const chassisPath = join(fileURLToPath(import.meta.url), '../../../../bin/chassis');

export interface Ended {
  readonly status: number | null;
  readonly out: string;
  readonly err: string;
}

/** A running `chassis`, its standard streams being pipes. */
export class ChassisProcess {
  out = '';
  err = '';
  readonly ended: Promise<Ended>;
  private readonly child;
  private readonly waiting: { text: string; from: number; resolve: () => void }[] = [];

  constructor(args: readonly string[], options: { cwd?: string; path?: string } = {}) {
    this.child = spawn(options.path ?? chassisPath, args, { cwd: options.cwd, stdio: 'pipe' });
    this.child.stdout.setEncoding('utf8').on('data', (text) => {
      this.out += text;
      this.look();
    });
    this.child.stderr.setEncoding('utf8').on('data', (text) => {
      this.err += text;
    });
    this.child.stdin.on('error', () => {});
    this.ended = new Promise((resolve) => {
      this.child.on('close', (status) => resolve({ status, out: this.out, err: this.err }));
    });
  }

  /** Resolves when the guest has printed `text` after `from`; rejects when the process ends first. */
  async printed(text: string, from = 0): Promise<void> {
    const seen = new Promise<void>((resolve) => {
      this.waiting.push({ text, from, resolve });
      this.look();
    });
    const early = this.ended.then(({ status }) => {
      if (this.out.includes(text, from)) return;
      const last = `${this.out.slice(-2000)}\n${this.err.slice(-2000)}`;
      throw new Error(`ended with ${status} before "${text}" was printed; last words:\n${last}`);
    });
    await Promise.race([seen, early]);
  }

  type(text: string): void {
    this.child.stdin.write(text);
  }

  /** Nobody reads standard error any more. */
  closeErrors(): void {
    this.child.stderr.destroy();
  }

  endInput(): void {
    this.child.stdin.end();
  }

  signal(name: NodeJS.Signals): void {
    this.child.kill(name);
  }

  private look(): void {
    for (const entry of this.waiting)
      if (this.out.includes(entry.text, entry.from)) entry.resolve();
  }
}

/** Runs `chassis` to its end. */
export function chassis(...args: string[]): Promise<Ended> {
  return new ChassisProcess(args).ended;
}
