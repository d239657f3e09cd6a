import { spawn } from 'node:child_process';
import { root } from './paths.mjs';

/** A failure whose message says all there is to say: printed without a stack trace. */
export class StepError extends Error {
  name = 'StepError';
}

/** Prints a progress line on standard error, so that standard output stays the command's own. */
export function say(text) {
  process.stderr.write(`${text}\n`);
}

/** Runs `work`, then prints what it was and how long it took. */
export async function timed(what, work) {
  const from = performance.now();
  const result = await work();
  say(`  ${what}: ${((performance.now() - from) / 1000).toFixed(1)} s`);
  return result;
}

/**
 * Runs a program and waits. Its output is shown, or with `quiet` collected and shown only when it
 * fails. Resolves to what it printed on standard output (empty without `quiet`).
 */
export function run(command, args, { cwd = root, env = process.env, quiet = false } = {}) {
  return new Promise((resolve, reject) => {
    const stdio = quiet ? ['ignore', 'pipe', 'pipe'] : ['ignore', 'inherit', 'inherit'];
    const child = spawn(command, args, { cwd, env, stdio });
    let out = '';
    let err = '';
    child.stdout?.setEncoding('utf8').on('data', (text) => {
      out += text;
    });
    child.stderr?.setEncoding('utf8').on('data', (text) => {
      err += text;
    });
    child.on('error', (error) => {
      reject(
        error.code === 'ENOENT'
          ? new StepError(`${command}: not found on this machine`)
          : new StepError(`${command}: ${error.message}`),
      );
    });
    child.on('close', (status, signal) => {
      if (status === 0) return resolve(out);
      const how = signal ? `ended by ${signal}` : `ended with status ${status}`;
      const text = quiet ? `\n${(out + err).trimEnd()}` : '';
      reject(new StepError(`${[command, ...args].join(' ')}: ${how}${text}`));
    });
  });
}

/** Runs a tool's body: a {@link StepError} is one message and status 1, never a stack trace. */
export async function main(body) {
  try {
    process.exitCode = (await body()) ?? 0;
  } catch (error) {
    if (!(error instanceof StepError)) throw error;
    say(`error: ${error.message}`);
    process.exitCode = 1;
  }
}
