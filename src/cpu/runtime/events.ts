/**
 * What happens between instructions: exceptions and interrupts are delivered, traps taken, shadows
 * honoured, and `run` left. Order after [SDM 3A table 6-2].
 */
import { CPU, interrupt_ack } from './env';
import { TRIPLE_FAULT } from './fault';
import {
  ACTIVITY, ATT_CODE, ATT_FLUSH, ATT_INIT, ATT_INTERRUPT, ATT_NMI, ATT_PARK, ATT_PAUSE, ATT_SIPI, ATTENTION, BLOCK_REC, CODE_BASE,
  DEBUG_HITS, DELIVERING, DR, EFLAGS, EVENT, EVENT_DEBUG, EVENT_EXCEPTION, EVENT_INACTIVE, EVENT_RECHECK,
  EVENT_SHADOW, EVENT_SHADOW_SS, EVENT_STEP, CR2, EXC_ADDRESS, EXC_ERROR, EXC_EXTERNAL, EXC_FAULT, EXC_HAS_ERROR,
  EXC_KIND, EXC_TRAP, EXC_VECTOR, EXIT_BUDGET, EXIT_HALT, EXIT_INTERRUPTED, EXIT_REASON, EXIT_SHUTDOWN, LINEAR_MASK, MSR_APIC_BASE,
  NMI_STATE, RIP,
} from './generated-layout';
import { lock_end, park } from './exclusive';
import { deliver } from './interrupt';
import { set_activity, update_step, write_flags } from './mode';
import {
  BOUNCE_MMIO, BREAKPOINTS, DB, EXT, F_IF, F_RF, F_TF, HOLDS_EXCLUSIVE, IRQ_WAITING, PF, STEP, STEP_ARMED, STEP_RF,
  STEP_SHADOW, STEP_TF,
} from './private';
import { init_cpu, start_up } from './reset';
import { code_moved, flush_tlb_all } from './tlb';

const WAIT_FOR_SIPI: i32 = 2;
const SHUTDOWN: i32 = 3;

const GO_ON: i32 = 0;
const ONE_INSTRUCTION: i32 = 1;
const LEAVE: i32 = 2;

// @ts-ignore: decorator
@inline
function events(): i32 {
  return load<i32>(CPU, EVENT);
}

// @ts-ignore: decorator
@inline
function clear_event(bits: i32): void {
  store<i32>(CPU, load<i32>(CPU, EVENT) & ~bits, EVENT);
}

/** Takes bits of ATTENTION: those that were set. */
// @ts-ignore: decorator
@inline
function take_attention(bits: i32): i32 {
  return (atomic.and<i32>(CPU + ATTENTION, ~bits) & bits) as i32;
}

/**
 * Deliveries after which `run` comes back without an instruction in between: a #DB whose frame is
 * pushed onto watched memory raises the next #DB, for ever.
 */
const MOST_DELIVERIES: i32 = 64;

function exit(reason: i32): i32 {
  store<i32>(CPU, reason, EXIT_REASON);
  return LEAVE;
}

/**
 * Deals with all that waits. 0: go on at RIP; 1: run exactly one instruction, then after_step; 2: leave
 * with EXIT_REASON. Delivery may fault and unwind: call it again.
 */
export function handle_events(): i32 {
  store<i32>(CPU, 0, BLOCK_REC);
  store<i32>(CPU, 0, BOUNCE_MMIO);
  if (load<i32>(CPU, HOLDS_EXCLUSIVE)) lock_end();
  resume_step();
  for (let turn: i32 = 0; ; turn++) {
    if (turn == MOST_DELIVERIES) return exit(EXIT_BUDGET);
    const attention = atomic.load<i32>(CPU + ATTENTION);
    if (attention & ~ATT_INTERRUPT) {
      if (attention & ATT_PARK) park();
      if (attention & ATT_CODE && take_attention(ATT_CODE)) code_moved();
      if (attention & ATT_FLUSH && take_attention(ATT_FLUSH)) flush_tlb_all();
      if (attention & (ATT_INIT | ATT_SIPI)) take_init();
      if (attention & ATT_NMI && take_attention(ATT_NMI)) {
        store<i32>(CPU, load<i32>(CPU, NMI_STATE) | 1, NMI_STATE);
      }
      if (attention & ATT_PAUSE && take_attention(ATT_PAUSE)) return exit(EXIT_INTERRUPTED);
    }
    const event = events();
    if (load<i32>(CPU, ACTIVITY) >= WAIT_FOR_SIPI && load<i32>(CPU, ACTIVITY) <= SHUTDOWN) {
      return exit(load<i32>(CPU, ACTIVITY) == SHUTDOWN ? EXIT_SHUTDOWN : EXIT_HALT);
    }
    if (event & EVENT_EXCEPTION) {
      if (load<i32>(CPU, EXC_VECTOR) == TRIPLE_FAULT) {
        clear_event(EVENT_EXCEPTION);
        store<i32>(CPU, -1, EXC_VECTOR);
        set_activity(SHUTDOWN);
        return exit(EXIT_SHUTDOWN);
      }
      deliver_pending();
      continue;
    }
    if (event & EVENT_DEBUG && !(event & EVENT_SHADOW_SS)) {
      clear_event(EVENT_DEBUG);
      debug_exception(load<i32>(CPU, DEBUG_HITS), EXC_TRAP);
      continue;
    }
    if (!(event & (EVENT_SHADOW | EVENT_SHADOW_SS)) && take_interrupt()) continue;
    if (event & EVENT_INACTIVE) return exit(EXIT_HALT);
    if (event & EVENT_STEP && code_breakpoint()) continue;
    clear_event(EVENT_RECHECK);
    return arm_step();
  }
}

/** The instruction that was to run alone left by an exit or a fault: its shadow stays or is over. */
function resume_step(): void {
  const step = load<i32>(CPU, STEP);
  if (!step) return;
  store<i32>(CPU, 0, STEP);
  if (events() & EVENT_EXCEPTION) return;
  if (step & STEP_RF) write_flags(F_RF, F_RF);
  if (step & STEP_SHADOW) store<i32>(CPU, events() | EVENT_SHADOW, EVENT);
}

/** Whether the next instruction runs alone: under TF, breakpoints and RF, and in shadows. */
function arm_step(): i32 {
  const event = events();
  if (!(event & (EVENT_STEP | EVENT_SHADOW | EVENT_SHADOW_SS))) return GO_ON;
  const flags = load<u32>(CPU, EFLAGS);
  let step = STEP_ARMED;
  if (flags & F_TF) step |= STEP_TF;
  if (event & (EVENT_SHADOW | EVENT_SHADOW_SS)) step |= STEP_SHADOW;
  // RECHECK brings us back here even when the instruction leaves by an exit.
  store<i32>(CPU, (event & ~(EVENT_SHADOW | EVENT_SHADOW_SS)) | EVENT_RECHECK, EVENT);
  if (flags & F_RF) {
    // RF is cleared by the successful instruction, unless it loads RF itself.
    step |= STEP_RF;
    store<u32>(CPU, flags & ~F_RF, EFLAGS);
    update_step();
  }
  store<i32>(CPU, step, STEP);
  return ONE_INSTRUCTION;
}

/** One instruction was run alone; when it faulted, nothing follows. */
export function after_step(): void {
  const step = load<i32>(CPU, STEP);
  store<i32>(CPU, 0, STEP);
  if (!(step & STEP_TF) || events() & EVENT_EXCEPTION) return;
  // mov ss: no trap between it and the next instruction [SDM 3A 6.8.3].
  if (events() & EVENT_SHADOW_SS) return;
  store<i32>(CPU, load<i32>(CPU, DEBUG_HITS) | 0x4000, DEBUG_HITS);
  store<i32>(CPU, events() | EVENT_DEBUG, EVENT);
}

function take_init(): void {
  if (take_attention(ATT_INIT)) {
    init_cpu();
    // All but the bootstrap processor wait for a start-up IPI.
    if (!(load<u64>(CPU, MSR_APIC_BASE) & 0x100)) set_activity(WAIT_FOR_SIPI);
  }
  if (take_attention(ATT_SIPI) && load<i32>(CPU, ACTIVITY) == WAIT_FOR_SIPI) start_up();
}

/** Delivers EXC_*. It stays pending until delivery is done, so that an exit in between replays it. */
function deliver_pending(): void {
  const vector = load<i32>(CPU, EXC_VECTOR);
  const kind = load<i32>(CPU, EXC_KIND);
  if (load<i32>(CPU, ACTIVITY)) set_activity(0);
  store<i32>(CPU, kind == EXC_EXTERNAL ? -1 : vector, DELIVERING);
  store<i32>(CPU, 1, EXT);
  if (vector == PF && kind == EXC_FAULT) store<u64>(CPU, load<u64>(CPU, EXC_ADDRESS), CR2);
  deliver(vector, kind, load<i32>(CPU, EXC_HAS_ERROR), load<i32>(CPU, EXC_ERROR));
  store<i32>(CPU, 0, EXT);
  store<i32>(CPU, -1, DELIVERING);
  store<i32>(CPU, -1, EXC_VECTOR);
  clear_event(EVENT_EXCEPTION);
  if (vector == DB && kind != EXC_EXTERNAL) {
    // GD is cleared when the handler is entered [SDM 3B 17.2.4].
    store<u64>(CPU, load<u64>(CPU, DR + 0x38) & ~0x2000, DR + 0x38);
  }
  if (kind == EXC_EXTERNAL && vector == 2) store<i32>(CPU, load<i32>(CPU, NMI_STATE) | 2, NMI_STATE);
}

function pend(vector: i32, kind: i32): void {
  store<i32>(CPU, vector, EXC_VECTOR);
  store<i32>(CPU, kind, EXC_KIND);
  store<i32>(CPU, 0, EXC_HAS_ERROR);
  store<i32>(CPU, 0, EXC_ERROR);
  store<i32>(CPU, events() | EVENT_EXCEPTION, EVENT);
}

/** DR6 tells the causes; a trap carries the address of the next instruction. [SDM 3B 17.2.3] */
function debug_exception(hits: i32, kind: i32): void {
  store<i32>(CPU, 0, DEBUG_HITS);
  store<u64>(CPU, (load<u64>(CPU, DR + 0x30) & ~0xf) | (hits as u64), DR + 0x30);
  pend(DB, kind);
}

/** An execution breakpoint at RIP: a fault that pushes RF as it is. */
function code_breakpoint(): bool {
  if (!(load<i32>(CPU, BREAKPOINTS) & 0x10) || load<u32>(CPU, EFLAGS) & F_RF) return false;
  const control = load<u64>(CPU, DR + 0x38);
  const at = (load<u64>(CPU, RIP) + load<u64>(CPU, CODE_BASE)) & load<u64>(CPU, LINEAR_MASK);
  let hits = 0;
  for (let n = 0; n < 4; n++) {
    const enabled = (control >> (n * 2)) & 3;
    const kind = (control >> (16 + n * 4)) & 15;
    if (enabled && kind == 0 && load<u64>(CPU + (n << 3), DR) == at) hits |= 1 << n;
  }
  if (!hits) return false;
  debug_exception(hits, EXC_TRAP);
  return true;
}

/** Takes an NMI or an external interrupt when one may be: true when one is pending now. */
function take_interrupt(): bool {
  if (load<i32>(CPU, NMI_STATE) == 1) {
    store<i32>(CPU, 0, NMI_STATE);
    pend(2, EXC_EXTERNAL);
    return true;
  }
  if (!(load<u32>(CPU, EFLAGS) & F_IF)) {
    if (atomic.load<i32>(CPU + ATTENTION) & ATT_INTERRUPT && take_attention(ATT_INTERRUPT)) {
      store<i32>(CPU, 1, IRQ_WAITING);
    }
    return false;
  }
  if (!(atomic.load<i32>(CPU + ATTENTION) & ATT_INTERRUPT) && !load<i32>(CPU, IRQ_WAITING)) return false;
  // Cleared first, then asked: one that comes in between sets the bit again.
  take_attention(ATT_INTERRUPT);
  store<i32>(CPU, 0, IRQ_WAITING);
  const vector = interrupt_ack();
  if (vector < 0) return false;
  // There may be another behind it: asked for when IF is set again.
  store<i32>(CPU, 1, IRQ_WAITING);
  pend(vector, EXC_EXTERNAL);
  return true;
}
