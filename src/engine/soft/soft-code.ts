import type { RegionKind } from './translation.js';
import type { Finished, Job } from './translator-queue.js';

/**
 * How the `soft` engine reaches WebAssembly. It is handed in, because a pure layer has no
 * `WebAssembly`, and because where the modules' bytes come from differs between Node and a browser.
 */
export interface SoftCode {
  /** A shared memory of exactly this many 64 KiB pages. Throws when the host has no room for it. */
  createMemory(pages: number): WasmMemory;
  /** Compiles and instantiates a module that was made at run time. */
  instantiateBytes(bytes: Uint8Array, imports: WasmImports): WasmExports;
  /** Instantiates what a {@link TranslatorThread} compiled. */
  instantiateModule(module: unknown, imports: WasmImports): WasmExports;
  /** Starts what translates beside the guest; where it is missing the guest waits for its translations. */
  startTranslator?(setup: ThreadSetup): TranslatorThread;
  instantiate(module: 'runtime' | 'interp', imports: WasmImports): WasmExports;
}

/** What the engine uses of a `WebAssembly.Memory`. */
export interface WasmMemory {
  readonly buffer: ArrayBufferLike;
}

/** What a translator's thread is to know of its vCPU. */
export interface ThreadSetup {
  readonly memory: WasmMemory;
  /** Address of the vCPU's area. */
  readonly cpu: number;
  readonly alone: boolean;
  readonly kind: RegionKind;
}

/** A thread that makes modules of hot code. */
export interface TranslatorThread {
  request(job: Job): void;
  /** What it has finished, once. */
  take(): Finished | undefined;
  /** Why it ended; what it was asked for will not come. */
  readonly failure: string | undefined;
  close(): void;
}

/** By module, then name: functions, the memory, and numbers for immutable globals. */
export type WasmImports = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

export type WasmExports = Readonly<Record<string, unknown>>;

/** What the engine itself calls of runtime.wasm. */
export interface RuntimeExports {
  read_flags(): bigint;
  write_flags(value: bigint, mask: bigint): void;
  /** Below 2^16. */
  set_mxcsr(value: number): void;
  /** Around `run`: other vCPUs may want this one parked. */
  enter_run(): void;
  leave_run(): void;
  /** Gives up the exclusive section, if held: a guest fault left a locked instruction. */
  lock_end(): void;
  /** Derives all that follows from a state that was written from outside. */
  after_restore(): void;
  /** These bytes are now decoded code. */
  mark_code(place: number, length: number): void;
}

/** What the engine calls of interp.wasm. */
export interface InterpExports {
  /** Runs until there is an exit; answers an EXIT_* number. */
  run(): number;
  /** For translated code: see interp/run-loop.ts. */
  readonly guest_call: unknown;
  /** Functions of translated regions. */
  readonly regions: WasmTable;
}

/** What the engine uses of a `WebAssembly.Table`. */
export interface WasmTable {
  set(index: number, value: unknown): void;
}
