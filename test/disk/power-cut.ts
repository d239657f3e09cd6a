import { openDisk, type openQcow2 } from '#src/backend/disk/open-disk.js';
import { type CheckReport, checkImage } from '#src/backend/disk/qcow2/check.js';
import { incompatible } from '#src/backend/disk/qcow2/header.js';
import { readHeader } from '#src/backend/disk/qcow2/image.js';
import {
  applySnapshot,
  createSnapshot,
  deleteSnapshot,
} from '#src/backend/disk/qcow2/snapshots.js';
import { Ledger } from './ledger.js';
import { MemoryHost, type Step } from './memory-host.js';
import { Model, type Shape } from './model.js';
import type { Random } from './random.js';

/** From one acknowledged flush to the next: what sectors may hold if the power is cut in between. */
interface Epoch {
  /** How many steps had been recorded when it began. */
  readonly from: number;
  readonly ledger: Ledger;
}

/** A run of a disk that was recorded, to be replayed up to any step. */
export class Recording {
  private readonly epochs: Epoch[] = [];
  readonly steps: Step[] = [];
  private readonly before = new Map<string, Uint8Array>();
  private readonly model: Model;

  constructor(
    shape: Shape,
    private readonly random: Random,
  ) {
    this.model = new Model(shape, random);
  }

  /** Makes the disk and works on it; nothing is closed at the end. */
  async run(bursts: number, { snapshots = true } = {}): Promise<void> {
    const { model, random } = this;
    const { host } = model;
    await model.create();
    await model.disk.flush();
    for (const [name, file] of host.files) this.before.set(name, file.contents());
    host.steps = this.steps;
    host.delay = random.next;
    this.begin();
    for (let i = 0; i < bursts; i++) {
      await this.burst();
      if (random.below(3) === 0) await this.flush();
      if (snapshots && random.below(6) === 0) await this.snapshot();
      if (random.below(10) === 0) await this.resize();
    }
    host.steps = undefined;
  }

  private begin(): void {
    this.epochs.push({ from: this.steps.length, ledger: new Ledger(this.model.expected) });
  }

  private async flush(): Promise<void> {
    await this.model.disk.flush();
    this.begin();
  }

  private allow(offset: number, contents: Uint8Array): void {
    this.epochs.at(-1)!.ledger.allow(offset, contents);
  }

  private async burst(): Promise<void> {
    const { model, random } = this;
    const { disk, expected } = model;
    const sectors = expected.length / 512;
    const work: Promise<void>[] = [];
    const parts = 1 + random.below(6);
    for (let part = 0; part < parts; part++) {
      const first = Math.floor((sectors * part) / parts);
      const end = Math.floor((sectors * (part + 1)) / parts);
      if (end === first) continue;
      const at = first + random.below(end - first);
      const offset = at * 512;
      const length = (1 + random.below(Math.min(end - at, random.pick([1, 8, 300])))) * 512;
      const kind = random.below(8);
      const bytes = kind < 5 ? random.bytes(length) : new Uint8Array(length);
      this.allow(offset, bytes);
      if (kind < 5) work.push(disk.write(offset, bytes));
      else work.push(disk.writeZeroes(offset, length, kind === 5));
      expected.set(bytes, offset);
    }
    await Promise.all(work);
  }

  private async resize(): Promise<void> {
    const { model, random } = this;
    const { shape, snapshots, expected } = model;
    if (shape.version === 2 && snapshots.size > 0) return;
    await this.flush();
    const sizeBytes = 512 * (1 + random.below((shape.sizeBytes / 512) * 2));
    if (sizeBytes < expected.length) {
      // What is cut off may be gone before the size says so: then a backing file shows there.
      const below = new Uint8Array(expected.length - sizeBytes);
      this.allow(sizeBytes, below);
      below.set((this.before.get('base.raw') ?? below).subarray(sizeBytes, expected.length));
      this.allow(sizeBytes, below);
    }
    await model.disk.resize!(sizeBytes);
    model.expected = new Uint8Array(sizeBytes);
    model.expected.set(expected.subarray(0, sizeBytes));
    this.begin();
  }

  private async snapshot(): Promise<void> {
    const { model, random } = this;
    const { shape, snapshots } = model;
    // Version 2 has no bit that says of an interrupted one that bits 63 may be wrong.
    if (shape.external || shape.version === 2 || (shape.refcountBits ?? 16) < 8) return;
    await this.flush();
    const disk = model.disk as Awaited<ReturnType<typeof openQcow2>>;
    const name = random.pick(['a', 'b', 'c']);
    const there = snapshots.get(name);
    if (there === undefined) {
      await createSnapshot(disk, name, 0);
      snapshots.set(name, model.expected.slice());
    } else if (random.below(2) === 0) {
      this.allow(0, there);
      await applySnapshot(disk, name);
      model.expected = there.slice();
    } else {
      await deleteSnapshot(disk, name);
      snapshots.delete(name);
    }
    this.begin();
  }

  /**
   * The files as a medium may have them when the power is cut after `count` steps: all that was
   * flushed, and of the rest any sectors.
   */
  cut(count: number): MemoryHost {
    const durable = this.steps
      .slice(0, count)
      .reduce((most, step) => (step.kind === 'flush' ? Math.max(most, step.upTo) : most), 0);
    const host = new MemoryHost();
    for (const [name, bytes] of this.before) host.put(name, bytes);
    this.steps.slice(0, count).forEach((step, i) => {
      const file = host.files.get(step.file)!;
      if (i < durable || step.kind === 'flush') file.apply(step);
      else if (step.kind !== 'write') {
        if (this.random.below(2) === 0) file.apply(step);
      } else {
        // Some writes whole, some not at all, some torn between sectors.
        const chance = this.random.pick([0, 0.5, 1]);
        for (let at = 0; at < step.bytes.length; at += 512) {
          if (this.random.next() >= chance) continue;
          const bytes = step.bytes.subarray(at, at + 512);
          file.apply({ ...step, offset: step.offset + at, bytes });
        }
      }
    });
    return host;
  }

  /** Opens what a power cut left; throws when it is corrupt or lacks what was flushed. */
  async verify(host: MemoryHost, count: number): Promise<void> {
    const { spec } = this.model;
    const report = await reportOf(host, false);
    if (report.corruptions > 0 && !report.dirty) {
      throw new Error(`corrupt: ${report.messages.join('; ')}`);
    }
    if (!report.dirty) await this.compare(await openDisk(host, spec, { writable: false }), count);
    const disk = await openDisk(host, spec, { writable: true });
    await this.compare(disk, count);
    await disk.close();
    const after = await reportOf(host, false);
    if (after.corruptions > 0 || after.dirty) {
      throw new Error(`corrupt after it was opened: ${after.messages.join('; ')}`);
    }
  }

  private async compare(disk: Awaited<ReturnType<typeof openDisk>>, count: number): Promise<void> {
    const found = new Uint8Array(disk.sizeBytes);
    await disk.read(0, found);
    const epoch = this.epochs.findLast(({ from }) => from <= count)!;
    epoch.ledger.check(found, `cut after ${count} of ${this.steps.length} steps`);
  }
}

async function reportOf(
  host: MemoryHost,
  fix: boolean,
): Promise<CheckReport & { readonly dirty: boolean }> {
  const file = await host.open('disk.qcow2', { writable: fix });
  const header = await readHeader(file);
  const dirty = (header.incompatible & incompatible.dirty) !== 0;
  return { ...(await checkImage(file, header, fix)), dirty };
}
