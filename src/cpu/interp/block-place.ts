import * as L from '../state/layout.js';
import { H_SIZE, T_SIZE } from './record.js';

/** Generation of the page that a place is in [layout.ts, code pages]. */
export function generationOf(memory: DataView, place: number): number {
  return memory.getInt32(L.CODE_PAGES + Math.floor(place / 0x1000) * L.CODE_PAGE_SIZE, true);
}

/** Address of the one entry of the block hash that a block at `place` can have. */
export function blockEntry(cpu: number, place: number): number {
  const hash = (place ^ (place >>> 11)) & (L.BLOCK_HASH_ENTRIES - 1);
  return cpu + L.BLOCK_HASH + hash * H_SIZE;
}

/** Address of the one entry that the targets of an indirect branch at `place` can have. */
export function targetsEntry(cpu: number, place: number): number {
  return cpu + L.JIT_TARGETS + ((place ^ (place >>> 11)) & (L.JIT_TARGETS_ENTRIES - 1)) * T_SIZE;
}
