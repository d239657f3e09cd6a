import { CPU, unwind } from './env';
import {
  CR2, DEBUG_HITS, DELIVERING, EVENT, EVENT_DEBUG, EVENT_EXCEPTION, EXC_ADDRESS, EXC_ERROR,
  EXC_FAULT, EXC_HAS_ERROR, EXC_KIND, EXC_VECTOR,
} from './generated-layout';
import { DF, EXT, GP, NM, PF, SS_FAULT, UD } from './private';

/** Vector of EXC_VECTOR that means shutdown: a fault while a double fault was delivered. */
export const TRIPLE_FAULT: i32 = 256;

/** 0 benign, 1 contributory, 2 page fault [SDM 3A table 6-4]. */
function exceptionClass(vector: i32): i32 {
  if (vector == PF) return 2;
  return vector == 0 || (vector >= 10 && vector <= 13) ? 1 : 0;
}

/**
 * Records a fault of the current instruction, for handle_events to deliver. While another
 * exception is being delivered the two may make a double or triple fault [SDM 3A table 6-5].
 */
export function set_fault(vector: i32, hasError: i32, error: i32): void {
  const first = load<i32>(CPU, DELIVERING);
  if (first >= 0) {
    store<i32>(CPU, -1, DELIVERING);
    const second = exceptionClass(vector);
    const contributory = second != 0;
    if (first == DF && contributory) {
      vector = TRIPLE_FAULT;
    } else if (contributory && (exceptionClass(first) == 2 || (exceptionClass(first) == 1 && second == 1))) {
      if (vector == PF) store<u64>(CPU, load<u64>(CPU, EXC_ADDRESS), CR2);
      vector = DF;
      hasError = 1;
      error = 0;
    }
  }
  store<i32>(CPU, 0, EXT);
  store<i32>(CPU, vector, EXC_VECTOR);
  store<i32>(CPU, hasError, EXC_HAS_ERROR);
  store<i32>(CPU, error, EXC_ERROR);
  store<i32>(CPU, EXC_FAULT, EXC_KIND);
  store<i32>(CPU, 0, DEBUG_HITS);
  store<i32>(CPU, (load<i32>(CPU, EVENT) | EVENT_EXCEPTION) & ~EVENT_DEBUG, EVENT);
}

/** Records a fault and leaves the instruction. Does not return. */
export function raise(vector: i32, hasError: i32, error: i32): void {
  set_fault(vector, hasError, error);
  unwind();
  unreachable();
}

export function raise_ud(): void {
  raise(UD, 0, 0);
}

export function raise_gp0(): void {
  raise(GP, 1, 0);
}

export function raise_ss0(): void {
  raise(SS_FAULT, 1, 0);
}

export function raise_nm(): void {
  raise(NM, 0, 0);
}

/** A fault whose error code names a selector; EXT set while an outside event is delivered. */
export function raise_selector(vector: i32, selector: i32): void {
  raise(vector, 1, (selector & 0xfffc) | load<i32>(CPU, EXT));
}
