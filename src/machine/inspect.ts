/** A machine as data, for `chassis inspect`. */
export interface Inspection {
  readonly machine: string;
  readonly engine: string;
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly devices: readonly {
    readonly name: string;
    readonly regions: readonly {
      readonly name: string;
      readonly space: 'port' | 'mmio';
      /** Undefined while the region is switched off. */
      readonly base: number | undefined;
      readonly sizeBytes: number;
    }[];
  }[];
  readonly pci: readonly {
    /** `00:01.3` */
    readonly address: string;
    readonly name: string;
    readonly vendorId: number;
    readonly deviceId: number;
    readonly classCode: number;
  }[];
  readonly memoryMap: readonly {
    readonly gpa: number;
    readonly sizeBytes: number;
    readonly what: string;
    readonly readonly: boolean;
  }[];
}
