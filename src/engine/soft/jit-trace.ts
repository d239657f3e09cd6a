import { exitReasons } from '../../cpu/jit/traced-region.js';
import * as layout from '../../cpu/state/layout.js';
import type { JitStatistics } from './region-cache.js';
import type { StateView } from './state-view.js';
import type { FoundRegion } from './translation.js';

/** `--trace jit`: a line for each region that is translated, and a table of what became of them. */
export class JitTrace {
  constructor(
    private readonly state: StateView,
    private readonly print: (line: string) => void,
  ) {}

  /** Regions that became one module; times in ns. */
  translated(
    regions: readonly FoundRegion[],
    wasmBytes: number,
    translateNs: number,
    compileNs: number,
  ): void {
    const us = (ns: number): string => `${Math.round(ns / 1000)} us`;
    regions.forEach(({ place, rip, instructions, blocks, guestBytes }, i) => {
      this.print(
        `jit: ${rip.toString(16)} at ${place.toString(16)}: ${instructions} instructions in ${blocks} blocks, ` +
          `${guestBytes} bytes; ${i + 1} of ${regions.length} in ${wasmBytes} bytes of wasm, ` +
          `translated in ${us(translateNs)}, compiled in ${us(compileNs)}`,
      );
    });
  }

  failed(why: string): void {
    this.print(`jit: the thread that translates has ended, the guest now waits for it: ${why}`);
  }

  show(statistics: JitStatistics): void {
    const { state } = this;
    const count = (at: number): number => Number(state.u64(at));
    const [entries, retired] = [count(layout.JIT_ENTRIES), count(layout.JIT_RETIRED)];
    const exits = exitReasons.map(
      (reason, i) => [reason, count(layout.JIT_EXITS + i * 8)] as const,
    );
    // After an exit to an unknown target or by a guard the run loop looks for another region.
    const [, interpreter, asked] = exits.map(([, exited]) => exited) as [number, number, number];
    const share = (part: number, whole: number): number => (whole === 0 ? 0 : part / whole);
    const all = {
      ...statistics,
      entries,
      retired,
      instructionsPerDispatch: share(retired, entries),
      shareLeft: share(interpreter + asked, entries),
      shareInRegions: share(retired, count(layout.ICOUNT)),
      exits: Object.fromEntries(exits),
    };
    const percent = (part: number): string => `${(part * 100).toFixed(1)} %`;
    const rows: [string, number | string][] = [
      ['regions translated', statistics.translated],
      ['regions alive', statistics.regions],
      ['regions evicted', statistics.evicted],
      ['bytes of wasm alive', statistics.bytes],
      ['entries by the run loop', entries],
      ['instructions run in regions', `${retired} (${percent(all.shareInRegions)} of all)`],
      ['instructions per dispatch', all.instructionsPerDispatch.toFixed(1)],
      ['dispatches that leave generated code', percent(all.shareLeft)],
      ...exits.map(([reason, exited]): [string, number] => [`exits: ${reason}`, exited]),
      ['translation, ms beside the guest', statistics.backgroundMs.toFixed(1)],
      ['modules that came too late', statistics.late],
      ['pauses for translation, ms in all', statistics.translateMs.toFixed(1)],
      ['longest pause for translation, ms', statistics.longestMs.toFixed(2)],
    ];
    for (const [name, value] of rows) this.print(`jit: ${name.padEnd(38)} ${value}`);
    this.print(`jit: ${JSON.stringify(all)}`);
  }
}
