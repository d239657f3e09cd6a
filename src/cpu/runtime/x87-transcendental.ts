/** x87 transcendental functions. */
export function x87_transcendental(what: i32): void {
  what;
}
