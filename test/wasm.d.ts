/** The part of the WebAssembly JavaScript interface that the tests use; Node's types lack it. */
declare namespace WebAssembly {
  class Module {
    constructor(bytes: Uint8Array);
  }
  class Instance {
    constructor(module: Module, imports: object);
    readonly exports: Readonly<Record<string, unknown>>;
  }
  class Memory {
    constructor(descriptor: { initial: number; maximum: number; shared: boolean });
    readonly buffer: ArrayBufferLike;
  }
  class Global {
    constructor(descriptor: { value: 'i32'; mutable: boolean }, value: number);
  }
  function validate(bytes: Uint8Array): boolean;
}
