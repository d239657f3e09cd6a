import { DiskError, type DiskErrorCode } from '#src/backend/disk/disk.js';
import type { DiskFile, DiskHost, OpenMode } from '#src/backend/disk/disk-file.js';
import { clusterCodec } from '#src/backend/node/cluster-codecs.js';

/** What was done to a file, in order. */
export type Step =
  | {
      readonly kind: 'write';
      readonly file: string;
      readonly offset: number;
      readonly bytes: Uint8Array;
    }
  | {
      readonly kind: 'punch';
      readonly file: string;
      readonly offset: number;
      readonly length: number;
    }
  | { readonly kind: 'truncate'; readonly file: string; readonly sizeBytes: number }
  /** Covers the steps before `upTo`: those that were complete when it began. */
  | { readonly kind: 'flush'; readonly file: string; readonly upTo: number };

/** A file in memory: it outlives those who opened it. */
export class MemoryFile {
  bytes = new Uint8Array(0);
  sizeBytes = 0;

  resize(sizeBytes: number): void {
    if (sizeBytes > this.bytes.length) {
      const grown = new Uint8Array(Math.max(sizeBytes, this.bytes.length * 2));
      grown.set(this.bytes.subarray(0, this.sizeBytes));
      this.bytes = grown;
    }
    this.bytes.fill(0, Math.min(sizeBytes, this.sizeBytes));
    this.sizeBytes = sizeBytes;
  }

  contents(): Uint8Array {
    return this.bytes.slice(0, this.sizeBytes);
  }

  apply(step: Step): void {
    if (step.kind === 'write') {
      if (step.offset + step.bytes.length > this.sizeBytes) {
        this.resize(step.offset + step.bytes.length);
      }
      this.bytes.set(step.bytes, step.offset);
    } else if (step.kind === 'punch') {
      this.bytes.fill(0, step.offset, Math.min(step.offset + step.length, this.sizeBytes));
    } else if (step.kind === 'truncate') this.resize(step.sizeBytes);
  }
}

/**
 * Disk images in memory, with every change written down and, if wanted, one that fails. Each call
 * waits for a random number of turns, so that those under way at once end in any order.
 */
export class MemoryHost implements DiskHost {
  readonly files = new Map<string, MemoryFile>();
  steps: Step[] | undefined;
  /** Counts down with every call on a file; at 0 the call fails with `failure`. */
  failAfter = Number.POSITIVE_INFINITY;
  failure: { readonly code: DiskErrorCode; readonly sticky: boolean; readonly half: boolean } = {
    code: 'io',
    sticky: false,
    half: false,
  };
  /** 0 to 1; how calls are delayed. */
  delay: (() => number) | undefined;
  /** Only calls of these kinds count for `failAfter`. */
  failing = /./;

  put(name: string, bytes: Uint8Array): MemoryFile {
    const file = new MemoryFile();
    file.resize(bytes.length);
    file.bytes.set(bytes);
    this.files.set(name, file);
    return file;
  }

  async open(path: string, mode: OpenMode): Promise<DiskFile> {
    const file = this.files.get(path);
    if (file === undefined) throw new DiskError('not-found', `${path}: there is no such file`);
    return this.face(path, file, !mode.writable);
  }

  async create(path: string): Promise<DiskFile> {
    return this.face(path, this.put(path, new Uint8Array(0)), false);
  }

  resolve(from: string, name: string): string {
    if (from === '' || name.startsWith('/')) return name;
    return from.includes('/') ? from.replace(/[^/]*$/, name) : name;
  }

  relative(_from: string, path: string): string {
    return path;
  }

  isAbsolute(name: string): boolean {
    return name.startsWith('/');
  }

  codec = clusterCodec;

  /** Whether the call at hand is the one that shall fail. */
  private async turn(what: string): Promise<boolean> {
    for (let left = Math.floor((this.delay?.() ?? 0) * 4); left > 0; left--) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    if (!this.failing.test(what)) return false;
    const fails = this.failAfter === 0 || (this.failAfter < 0 && this.failure.sticky);
    this.failAfter--;
    return fails;
  }

  private face(name: string, file: MemoryFile, readOnly: boolean): DiskFile {
    const host = this;
    const error = (what: string) => new DiskError(host.failure.code, `${name}: ${what} failed`);
    const change = async (step: Step) => {
      if (await host.turn(step.kind)) {
        if (host.failure.half && step.kind === 'write') {
          const bytes = step.bytes.slice(0, Math.floor(step.bytes.length / 1024) * 512);
          file.apply({ ...step, bytes });
          host.steps?.push({ ...step, bytes });
        }
        throw error(step.kind);
      }
      if (readOnly && step.kind !== 'flush')
        throw new DiskError('read-only', `${name} is read-only`);
      file.apply(step);
      host.steps?.push(step);
    };
    return {
      name,
      readOnly,
      get sizeBytes() {
        return file.sizeBytes;
      },
      async read(offset, into) {
        if (await host.turn('read')) throw error('read');
        into.fill(0);
        into.set(file.bytes.subarray(offset, Math.min(offset + into.length, file.sizeBytes)));
      },
      write: (offset, from) => change({ kind: 'write', file: name, offset, bytes: from.slice() }),
      flush: () => change({ kind: 'flush', file: name, upTo: host.steps?.length ?? 0 }),
      truncate: (sizeBytes) => change({ kind: 'truncate', file: name, sizeBytes }),
      async punch(offset, length) {
        await change({ kind: 'punch', file: name, offset, length });
        return true;
      },
      async extent(_offset, length) {
        return { length, hole: false };
      },
      async allocatedBytes() {
        return file.sizeBytes;
      },
      async close() {},
    };
  }
}
