/** What a PCI function shows its bus (PCI 3.0, chapter 6). */
export interface PciFace {
  /** 256 bytes of configuration space, 1, 2 or 4 bytes at an offset aligned to the width. */
  configRead(offset: number, width: 1 | 2 | 4): number;
  configWrite(offset: number, width: 1 | 2 | 4, value: number): void;
}
