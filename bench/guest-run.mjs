import { spawn } from 'node:child_process';

/**
 * Starts a program with a guest's console on its standard output; `waitFor(text)` resolves to the
 * seconds from the start until the guest printed it, and rejects when the program ends before.
 */
export function startGuest(command, args, limitSeconds = 600, env = process.env) {
  const from = performance.now();
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'], env });
  let seen = '';
  let taken = 0; // how much of `seen` the lines so far have used up
  let errors = '';
  const waiting = [];
  const check = () => {
    const seconds = (performance.now() - from) / 1000;
    for (const entry of [...waiting]) {
      const found = entry.pattern ? nextLine(entry.pattern) : seen.includes(entry.text);
      if (!found) continue;
      waiting.splice(waiting.indexOf(entry), 1);
      entry.resolve(entry.pattern ? { ...found, seconds } : seconds);
    }
  };
  const nextLine = (pattern) => {
    for (let end = seen.indexOf('\n', taken); end >= 0; end = seen.indexOf('\n', taken)) {
      const line = seen.slice(taken, end).trimEnd();
      taken = end + 1;
      const match = pattern.exec(line);
      if (match) return { line, match };
    }
    return undefined;
  };
  const fail = (why) => {
    for (const entry of waiting.splice(0)) {
      const last = (errors || seen).trimEnd().split('\n').slice(-3).join('\n');
      entry.reject(
        new Error(
          `${command} ${why} before ${entry.pattern ?? `"${entry.text}"`} was printed:\n${last}`,
        ),
      );
    }
  };
  child.stdout.setEncoding('utf8').on('data', (text) => {
    seen += text;
    check();
  });
  child.stderr.setEncoding('utf8').on('data', (text) => {
    errors += text;
  });
  const limit = setTimeout(() => {
    fail(`took over ${limitSeconds} s`);
    child.kill('SIGKILL');
  }, limitSeconds * 1000);
  const ended = new Promise((resolve) => {
    child.on('error', (error) => fail(error.message));
    child.on('close', (status, signal) => {
      clearTimeout(limit);
      fail(`ended with ${signal ?? status}`);
      resolve(status);
    });
  });
  child.stdin.on('error', () => {});
  return {
    pid: child.pid,
    waitFor: (text) =>
      new Promise((resolve, reject) => {
        waiting.push({ text, resolve, reject });
        check();
      }),
    /**
     * The next whole line that matches, after those taken so far: `{ line, match, seconds }`. Lines
     * before it are dropped.
     */
    takeLine: (pattern) =>
      new Promise((resolve, reject) => {
        waiting.push({ pattern, resolve, reject });
        check();
      }),
    type: (text) => child.stdin.write(text),
    /** Ends the program and waits until it is gone. */
    stop: () => {
      child.kill('SIGKILL');
      return ended;
    },
    ended,
    /** All of standard error so far. */
    errors: () => errors,
  };
}
