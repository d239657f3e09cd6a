import { Worker } from 'node:worker_threads';
import type { ThreadSetup, TranslatorThread } from '../../engine/soft/soft-code.js';
import type { Finished, Job } from '../../engine/soft/translator-queue.js';

/** A thread that had nothing to do for so long ends: its heap is as large as the guest's own. */
const IDLE_MS = 1500;

/** A translator in a worker of Node; started when there is work, ended when there is none. */
export function startTranslator(setup: ThreadSetup): TranslatorThread {
  let worker: Worker | undefined;
  const finished: Finished[] = [];
  let outstanding = 0;
  let failure: string | undefined;
  let idle: NodeJS.Timeout | undefined;

  const end = (): void => {
    clearTimeout(idle);
    void worker?.terminate();
    worker = undefined;
  };

  const start = (): Worker => {
    const started = new Worker(new URL('./translator-worker.js', import.meta.url), {
      workerData: setup,
    });
    started.unref();
    started.on('message', (one: Finished) => {
      outstanding -= one.jobs.length;
      finished.push(one);
      clearTimeout(idle);
      if (outstanding === 0) idle = setTimeout(end, IDLE_MS).unref();
    });
    started.on('error', (error) => {
      if (worker === started) failure = String(error);
    });
    return started;
  };

  return {
    request(job: Job): void {
      worker ??= start();
      outstanding++;
      clearTimeout(idle);
      worker.postMessage(job);
    },
    take: () => finished.shift(),
    get failure() {
      return failure;
    },
    close: end,
  };
}
