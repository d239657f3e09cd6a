/**
 * How the `soft` engine reaches WebAssembly. It is handed in, because a pure layer has no
 * `WebAssembly`, and because where the modules' bytes come from differs between Node and a browser.
 */
export interface SoftCode {
  /** A shared memory of exactly this many 64 KiB pages. Throws when the host has no room for it. */
  createMemory(pages: number): WasmMemory;
  instantiate(module: 'runtime' | 'interp', imports: WasmImports): WasmExports;
  /** `env.decode_block` of the interpreter for the vCPU whose area is at `cpu`. */
  blockDecoder(memory: WasmMemory, cpu: number): (...values: number[]) => number;
}

export interface WasmMemory {
  readonly buffer: ArrayBufferLike;
}

/** By module, then name: functions, the memory, and numbers for immutable globals. */
export type WasmImports = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

export type WasmExports = Readonly<Record<string, unknown>>;

/** What the engine itself calls of runtime.wasm. */
export interface RuntimeExports {
  /** RFLAGS, low half, from the lazy form. */
  read_flags(): number;
  write_flags(value: number): void;
  /** Derives all that follows from control registers, segments, EFER and MXCSR. */
  update_mode(): void;
}

export interface InterpExports {
  /** Runs until there is an exit; answers an EXIT_* number. */
  run(): number;
}
