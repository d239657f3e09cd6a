import type { CharBackend } from '../backend/char/char.js';
import type { Disk } from '../backend/disk/disk.js';
import type { Clock } from '../base/clock.js';
import type { Log } from '../base/log.js';
import type { CpuidEntry } from '../cpu/state/cpuid.js';
import type { Engine } from '../engine/engine.js';
import type { VirtioType } from '../virtio/core/virtio-type.js';
import type { NetLink } from '../virtio/net/net.js';
import type { MachineConfig } from './config.js';
import type { Inspection } from './inspect.js';

/** The event loop that the machine lives in. */
export interface Schedule {
  /** Calls back after about `delayMs`, not before; the answer cancels. */
  after(delayMs: number, callback: () => void): () => void;
  /** Calls back once the event loop has looked at its input and output. */
  soon(callback: () => void): void;
}

/** All that a machine needs of its host; nothing of it is in a snapshot. */
export interface HostServices {
  readonly engine: Engine;
  /** What CPUID could say under the other engine here: for the CPU model `common`. */
  readonly peerCpuid?: (vcpus: number) => readonly CpuidEntry[];
  /** The host's time; the machine keeps its own, which stops while it is not running. */
  readonly clock: Clock;
  readonly schedule: Schedule;
  /** 32 random bits, as good as the host has them (RDRAND, RDSEED). */
  readonly randomU32: () => number;
  readonly log: Log;
  /** Behind COM1, COM2, ...; a port without one drops its output. */
  readonly serial: readonly CharBackend[];
  /** Gets what the guest writes to port 0x402. */
  readonly debugcon?: CharBackend;
  /** Gives whole pages of guest memory back to the host; without it they are kept. */
  readonly releaseMemory?: ((pages: Uint8Array) => void) | undefined;
  /** Behind the `virtio-blk` devices of the configuration, in their order; who opened them closes. */
  readonly disks?: readonly Disk[];
  /** Behind its `virtio-net` devices. */
  readonly nets?: readonly NetLink[];
  /** Behind the ports of its `virtio-console` devices. */
  readonly ports?: readonly CharBackend[];
  /** Gets one line for each event of the kinds in `config.trace`. */
  readonly trace?: (line: string) => void;
}

/** Why a run ended. The names are stable; the command line maps them to exit statuses. */
export type Outcome =
  | { readonly kind: 'powered-off' }
  /** isa-debug-exit was written: `status` is (value << 1) | 1. */
  | { readonly kind: 'debug-exit'; readonly status: number }
  /** Triple fault, or the CPU stopped for good; `report` has several lines. */
  | { readonly kind: 'crashed'; readonly reason: string; readonly report: string }
  /** The guest asked for a reset and `config.reboot` says that it ends the run. */
  | { readonly kind: 'reset' }
  /** {@link Machine.stop} was called; `run` may be called again. */
  | { readonly kind: 'stopped' };

/** One virtual PC. Methods other than `run` are for between and during runs alike. */
export interface Machine {
  readonly config: MachineConfig;
  /** Its virtio devices in the order of the configuration, and what the host may ask of each. */
  readonly virtio: readonly VirtioType<unknown>[];
  /** Runs until something of {@link Outcome}. Rejects only for bugs of ours and of the engine. */
  run(): Promise<Outcome>;
  /** Asks a running machine to stop at the next instruction boundary; `run` then resolves. */
  stop(): void;
  /** Presses the power button: an ACPI guest may shut itself down. */
  powerButton(): void;
  /** As the reset button. */
  reset(): void;
  /** The whole machine as bytes; only while it is not running. */
  save(): Uint8Array;
  inspect(): Inspection;
  /** Releases the backends (their `close`); nothing may be called after. */
  close(): void;
}
