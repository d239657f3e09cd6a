import { loadSoftCode } from '../backend/node/soft-code.js';
import { type Engine, EngineError } from '../engine/engine.js';
import type { KvmReport } from '../engine/kvm/probe.js';
import { SoftEngine, type SoftOptions } from '../engine/soft/soft-engine.js';
import type { EngineChoice } from './machine-flags.js';

export interface OpenOptions {
  /** Told in one sentence which engine `auto` took and why, and what to expect of a slow one. */
  readonly say?: (sentence: string) => void;
  /** Default `/dev/kvm`. */
  readonly kvmDevice?: string;
  readonly soft?: SoftOptions;
}

/** What `auto` takes on a host. */
export interface AutoChoice {
  readonly engine: 'soft' | 'kvm';
  readonly why: string;
}

/** The engine the user chose, or for `auto` the best that works on this host. Throws EngineError. */
export async function openEngine(choice: EngineChoice, options: OpenOptions = {}): Promise<Engine> {
  const { say = () => {}, kvmDevice, soft = {} } = options;
  if (choice === 'soft') return openSoft(soft);
  const { engine, report } = await tryKvm(kvmDevice);
  if (choice === 'auto') {
    const auto = chooseAuto(report);
    say(`engine ${auto.engine}: ${auto.why}`);
    return auto.engine === 'kvm' && engine !== undefined ? engine : openSoft(soft);
  }
  if (engine === undefined) {
    throw new EngineError(
      'unavailable',
      `--engine kvm: ${report.problem}; chassis doctor says more, and --engine soft works everywhere`,
    );
  }
  if (report.kind === 'software') say(`engine kvm: ${slowKind(report)}`);
  return engine;
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

/** The kvm engine where it can make a VM with a vCPU, and what KVM on this host can do. Never throws. */
export async function tryKvm(
  device?: string,
): Promise<{ readonly engine?: Engine; readonly report: KvmReport }> {
  let report: KvmReport = { usable: false, kind: 'none', capabilities: {}, missing: [] };
  try {
    // Only now: hosts for which koffi has no binary run the soft engine.
    const { probeKvm } = await import('../engine/kvm/probe.js');
    report = probeKvm(device);
    if (!report.usable) return { report };
    const { loadKvmEngine } = await import('../engine/kvm/kvm-engine.js');
    return { engine: loadKvmEngine(device === undefined ? {} : { device }), report };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return { report: { ...report, usable: false, problem: message.split('\n')[0]! } };
  }
}

async function openSoft(options: SoftOptions): Promise<Engine> {
  return new SoftEngine(await loadSoftCode(), options);
}

function slowKind({ module }: KvmReport): string {
  return (
    `KVM on this host is of the software kind (${module}), which emulates a guest's kernel ` +
    'code; a stock Linux is too slow on it, and faster on the soft engine'
  );
}
