/** What the loaders that need no firmware take and give. */
import type { E820Entry } from './e820.js';
import type { GuestWrite, NamedFile } from './load-error.js';
import type { StartState } from './start-state.js';

export interface DirectBoot {
  readonly kernel: NamedFile;
  readonly initrd?: NamedFile;
  /** Files after the initrd, for Multiboot and PVH; the name is the module's command line. */
  readonly modules?: readonly NamedFile[];
  readonly commandLine: string;
  /** For what a kernel has at another address each time; without it nothing has. */
  readonly randomU32?: () => number;
  readonly e820: readonly E820Entry[];
  /** The end of RAM below 4 GiB that loaders may use. */
  readonly lowRamEnd: number;
  /** Where the RSDP is; 0 if there is none. */
  readonly rsdp: number;
}

/** A guest ready to run: write all this into zeroed RAM, open the A20 gate, start the first vCPU. */
export interface BootImage {
  readonly writes: readonly GuestWrite[];
  readonly cpu: StartState;
}

/** The initrd and the modules in their order. */
export const moduleFiles = ({ initrd, modules = [] }: DirectBoot): NamedFile[] => [
  ...(initrd ? [initrd] : []),
  ...modules,
];
