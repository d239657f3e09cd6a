import { Worker } from 'node:worker_threads';
import { atExit } from './at-exit.js';
import { EINTR, errorName, type Libc } from './libc.js';
import { KICK_SIGNAL, MAILBOX_BYTES, type ThreadStart, turn, word } from './mailbox.js';
import { whenChanged } from './wait-async.js';

/** How KVM_RUN came back: an error's name, or that there is no thread any more. */
export interface Back {
  readonly error?: string;
  readonly died?: Error;
}

/** A thread that does nothing but enter a vCPU. It is started by the first entry. */
export class KvmThread {
  private readonly words = new Int32Array(new SharedArrayBuffer(MAILBOX_BYTES));
  private worker: Worker | undefined;
  private died: Error | undefined;
  /** While the process must not end without telling the thread. */
  private forget: (() => void) | undefined;

  constructor(
    private readonly c: Libc,
    private readonly fd: number,
    private readonly name: string,
    readonly spinNs: number,
  ) {}

  go(): void {
    this.worker ??= this.start();
    Atomics.store(this.words, word.turn, turn.guest);
    Atomics.notify(this.words, word.turn);
  }

  /** `undefined` while the guest runs. */
  back(): Back | undefined {
    if (this.died !== undefined) return { died: this.died };
    if (Atomics.load(this.words, word.turn) !== turn.machine) return undefined;
    const error = this.words[word.error]!;
    return error === 0 ? {} : { error: errorName(error) };
  }

  /** Calls back once it is not the guest's turn; the answer calls that off. */
  whenBack(callback: () => void): () => void {
    return whenChanged(this.words, word.turn, turn.guest, callback);
  }

  /** Interrupts KVM_RUN; whoever calls has set immediate_exit. */
  kick(): void {
    const thread = Atomics.load(this.words, word.threadId);
    if (thread !== 0) {
      this.c.tgkill(process.pid, thread, KICK_SIGNAL);
      return;
    }
    // It is not up yet, and nobody shall wait for that. Should it have come up just now, it leaves at once.
    Atomics.store(this.words, word.error, EINTR);
    Atomics.compareExchange(this.words, word.turn, turn.guest, turn.machine);
    Atomics.notify(this.words, word.turn);
  }

  /** The thread ends as soon as it is out of the guest; whoever waits for it does not any more. */
  close(): void {
    this.died ??= new Error(`${this.name} was closed while it ran`);
    this.forget?.();
    this.forget = undefined;
    Atomics.store(this.words, word.turn, turn.over);
    Atomics.notify(this.words, word.turn);
    this.kick();
  }

  private start(): Worker {
    const { fd, words, spinNs } = this;
    const workerData: ThreadStart = { fd, words, spinNs };
    const url = new URL('./vcpu-worker.js', import.meta.url);
    const worker = new Worker(url, { workerData, name: this.name });
    // The machine's own sleep keeps the process alive, and nothing else.
    worker.unref();
    worker.once('error', (error) => this.ended(error));
    worker.once('exit', () => this.ended(new Error('it was stopped from outside')));
    this.forget = atExit(() => this.close());
    return worker;
  }

  private ended(why: Error): void {
    if (this.forget === undefined) return;
    this.forget();
    this.forget = undefined;
    this.died = new Error(`the thread of ${this.name} is gone: ${why.message}`, { cause: why });
    Atomics.store(this.words, word.turn, turn.over);
    Atomics.notify(this.words, word.turn);
  }
}
