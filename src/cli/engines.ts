import { loadSoftCode } from '../backend/node/soft-code.js';
import { type Engine, EngineError } from '../engine/engine.js';
import type { KvmReport } from '../engine/kvm/probe.js';
import { SoftEngine } from '../engine/soft/soft-engine.js';
import type { EngineChoice } from './machine-flags.js';

export interface OpenOptions {
  /** Told in one sentence which engine `auto` took and why, and what to expect of a slow one. */
  readonly say?: (sentence: string) => void;
  /** Default `/dev/kvm`. */
  readonly kvmDevice?: string;
}

/** What `auto` takes on a host. */
export interface AutoChoice {
  readonly engine: 'soft' | 'kvm';
  readonly why: string;
}

/** The engine the user chose, or for `auto` the best that works on this host. Throws EngineError. */
export async function openEngine(choice: EngineChoice, options: OpenOptions = {}): Promise<Engine> {
  const { say = () => {}, kvmDevice } = options;
  if (choice === 'soft') return openSoft();
  if (choice === 'kvm') {
    const engine = await openKvm(kvmDevice).catch((error) => {
      throw new EngineError(
        'unavailable',
        `--engine kvm: ${reason(error)}; chassis doctor says more, and --engine soft works everywhere`,
        { cause: error },
      );
    });
    if (engine.report.kind === 'software') say(`engine kvm: ${slowKind(engine.report)}`);
    return engine;
  }
  const auto = chooseAuto(await kvmReport(kvmDevice));
  say(`engine ${auto.engine}: ${auto.why}`);
  return auto.engine === 'kvm' ? openKvm(kvmDevice) : openSoft();
}

/**
 * `kvm` where it works, but not where it is of the software kind: that emulates what a guest's kernel
 * does, instruction by instruction, and `soft` is many times faster at it.
 */
export function chooseAuto(kvm: KvmReport): AutoChoice {
  if (!kvm.usable) return { engine: 'soft', why: `KVM cannot be had: ${kvm.problem}` };
  if (kvm.kind === 'software') return { engine: 'soft', why: slowKind(kvm) };
  return { engine: 'kvm', why: `KVM works here (${kvm.module})` };
}

/** What KVM on this host can do. Never throws. */
export async function kvmReport(device?: string): Promise<KvmReport> {
  try {
    const { probeKvm } = await import('../engine/kvm/probe.js');
    return probeKvm(device);
  } catch (error) {
    // The package that calls the C library has no binary for this host.
    const problem = reason(error);
    return { usable: false, kind: 'none', capabilities: {}, missing: [], problem };
  }
}

async function openSoft(): Promise<Engine> {
  return new SoftEngine(await loadSoftCode());
}

async function openKvm(device: string | undefined) {
  // Only now: hosts that koffi has no binary for run the soft engine.
  const { loadKvmEngine } = await import('../engine/kvm/kvm-engine.js');
  return loadKvmEngine(device === undefined ? {} : { device });
}

function slowKind({ module }: KvmReport): string {
  return (
    `KVM on this host is of the software kind (${module}), which emulates a guest's kernel ` +
    'code; a stock Linux is too slow on it, and faster on the soft engine'
  );
}

function reason(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split('\n')[0]!;
}
