import * as L from '../state/layout.js';
import { RegionBuilder } from './region-builder.js';

/** Why regions are left, in the order of their counts at JIT_EXITS. */
export const exitReasons = [
  'unknown target',
  'to the interpreter',
  'interrupt or budget',
  'guard',
] as const;
const [TARGET, INTERPRETER, ASKED, GUARD] = [0, 1, 2, 3];

/** Translated code that counts its exits by reason. */
export class TracedRegion extends RegionBuilder {
  private reason = TARGET;

  private because(reason: number, build: () => void): void {
    const outer = this.reason;
    this.reason = reason;
    build();
    this.reason = outer;
  }

  protected override interrupted(...args: Parameters<RegionBuilder['interrupted']>): void {
    this.because(ASKED, () => super.interrupted(...args));
  }
  protected override undisturbed(): void {
    this.because(ASKED, () => super.undisturbed());
  }
  protected override stillHere(exit: () => void): void {
    this.because(GUARD, () => super.stillHere(exit));
  }
  protected override guard(...args: Parameters<RegionBuilder['guard']>): void {
    this.because(GUARD, () => super.guard(...args));
  }

  protected override exitTo(...args: Parameters<RegionBuilder['exitTo']>): void {
    const at = L.JIT_EXITS + (args[2] ? INTERPRETER : this.reason) * 8;
    this.setState('i64.store', at, this.addC(this.state('i64.load', at), 1));
    super.exitTo(...args);
  }
}
