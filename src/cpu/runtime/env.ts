/**
 * What the runtime is given: the address of this vCPU's area, and the functions of the run loop. No
 * i64 crosses to JavaScript. The I/O functions may leave by a JavaScript exception: the
 * instruction is then executed again later, so nothing may be committed before they return.
 */

/** Address of this vCPU's area: fields are at CPU + the offsets of cpu/state/layout.ts. */
@external("env", "cpu")
export declare const CPU: usize;

/** Leaves all wasm frames, back to the run loop. Does not return. */
@external("env", "unwind")
export declare function unwind(): void;

@external("env", "io_in")
export declare function io_in(port: i32, size: i32): u32;
@external("env", "io_out")
export declare function io_out(port: i32, size: i32, value: u32): void;

/** Sizes 1, 2 and 4. */
@external("env", "mmio_read")
export declare function mmio_read(gpa: f64, size: i32): u32;
@external("env", "mmio_write")
export declare function mmio_write(gpa: f64, size: i32, value: u32): void;

/** The local APIC's page: aligned dwords. */
@external("env", "apic_read")
export declare function apic_read(offset: i32): u32;
@external("env", "apic_write")
export declare function apic_write(offset: i32, value: u32): void;

/** APIC_BASE, the x2APIC range and TSC_DEADLINE. `msr_write`: 0 = done, 1 = #GP(0). */
@external("env", "msr_read")
export declare function msr_read(index: i32, half: i32): u32;
@external("env", "msr_write")
export declare function msr_write(index: i32, low: u32, high: u32): i32;

/** Acknowledges the interrupt to deliver now: its vector, or -1. */
@external("env", "interrupt_ack")
export declare function interrupt_ack(): i32;

/** The VM's clock, ns. */
@external("env", "clock_ns")
export declare function clock_ns(): f64;
@external("env", "random_u32")
export declare function random_u32(): u32;
