import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Once after so long: a machine that starts leaves much behind, such as the unpacked kernel, and then little. */
const AFTER_MS = 400;

/** Gives the host back what starting a machine has left, which V8 would do when it gets round to it. */
export function collectAfterStart(): void {
  setTimeout(() => {
    setFlagsFromString('--expose-gc');
    runInNewContext('gc')();
  }, AFTER_MS).unref();
}
