/** What the SSE floating-point families share: formats, tests on all elements at once, operands' places. */
import type { Value } from '../emit/function-builder.js';
import * as L from '../state/layout.js';
import type { Operand, Sem } from './sem.js';

/** Single or double; one element or a whole register. */
export interface Shape {
  readonly fmt: 0 | 1;
  readonly n: number;
  /** Prefix of the wasm instructions: f32, f64, f32x4 or f64x2. */
  readonly name: string;
  readonly packed: boolean;
  readonly bytes: number;
}
export const PS: Shape = { fmt: 0, n: 4, name: 'f32x4', packed: true, bytes: 16 };
export const PD: Shape = { fmt: 1, n: 2, name: 'f64x2', packed: true, bytes: 16 };
export const SS: Shape = { fmt: 0, n: 1, name: 'f32', packed: false, bytes: 4 };
export const SD: Shape = { fmt: 1, n: 1, name: 'f64', packed: false, bytes: 8 };

export const MIN_NORMAL = [0x0080_0000, 0x0010_0000_0000_0000n] as const;
export const INFINITY_BITS = [0x7f80_0000, 0x7ff0_0000_0000_0000n] as const;

/** Tests on all elements at once: results are masks for vectors, 0 or 1 for scalars. */
export class Lanes {
  constructor(
    readonly s: Sem,
    readonly shape: Shape,
  ) {}
  op(name: string, ...args: Value[]): Value {
    return this.s.op(`${this.shape.name}.${name}`, ...args);
  }
  /** A number by the bits of its two formats. */
  constant(bits: readonly [number, bigint]): Value {
    const { s, shape } = this;
    const scalar = shape.fmt ? s.f64(bits[1]) : s.f32(bits[0]);
    return shape.packed ? this.op('splat', scalar) : scalar;
  }
  both = (a: Value, b: Value): Value =>
    this.shape.packed ? this.s.op('v128.and', a, b) : this.s.and(a, b);
  either = (a: Value, b: Value): Value =>
    this.shape.packed ? this.s.op('v128.or', a, b) : this.s.or(a, b);
  all = (mask: Value): Value =>
    this.shape.packed
      ? this.s.op(this.shape.fmt ? 'i64x2.all_true' : 'i32x4.all_true', mask)
      : mask;
  zero(a: Value): Value {
    return this.op('eq', a, this.constant([0, 0n]));
  }
  /** Neither NaN nor denormal. */
  plain(a: Value): Value {
    const large = this.op('ge', this.op('abs', a), this.constant(MIN_NORMAL));
    return this.either(large, this.zero(a));
  }
  /** Normal; the smallest is left out, as a denormal may have been rounded to it. */
  normal(a: Value): Value {
    const magnitude = this.op('abs', a);
    const above = this.op('gt', magnitude, this.constant(MIN_NORMAL));
    return this.both(above, this.op('lt', magnitude, this.constant(INFINITY_BITS)));
  }
  /** |a| < limit, which NaN is not. */
  below(a: Value, limit: readonly [number, bigint]): Value {
    return this.op('lt', this.op('abs', a), this.constant(limit));
  }
  load(address: Value): Value {
    return this.s.load(this.shape.packed ? 'v128.load' : `${this.shape.name}.load`, address);
  }
  store(address: Value, value: Value): void {
    this.s.effect(this.shape.packed ? 'v128.store' : `${this.shape.name}.store`, [address, value]);
  }
}

/** Not zero where the host's arithmetic may be used: SSE_FAST in layout.ts. */
export function fast(s: Sem): Value {
  return s.state('i32.load', L.SSE_FAST);
}

/** Places of destination and source. The source's may fault. */
export function places(s: Sem, bytes: number): [Value, Value] {
  const [dst, src] = s.operands as [Operand, Operand];
  const from = s.vaddress(src, bytes);
  return [s.vaddress(dst, 16), from];
}

export const sse = { unit: 'sse', feature: 'SSE' } as const;
export const sse2 = { unit: 'sse', feature: 'SSE2' } as const;
export const sse3 = { unit: 'sse', feature: 'SSE3' } as const;
export const sse41 = { unit: 'sse', feature: 'SSE4.1' } as const;
