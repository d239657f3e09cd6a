/** Before anything was measured. [RFC 6298 2.1] */
const INITIAL_MS = 1000;
/** The RFC has a second; a guest's delayed acknowledgment takes up to 200 ms, and the link is memory. */
const MIN_MS = 300;
const MAX_MS = 60_000;

/** How long to wait for an acknowledgment. [RFC 6298] */
export class RoundTrip {
  private smoothedMs = -1;
  private variationMs = 0;
  private timeoutMs = INITIAL_MS;

  measured(ms: number): void {
    const isFirst = this.smoothedMs < 0;
    const deviation = Math.abs(this.smoothedMs - ms) - this.variationMs;
    this.variationMs = isFirst ? ms / 2 : this.variationMs + deviation / 4;
    this.smoothedMs = isFirst ? ms : this.smoothedMs + (ms - this.smoothedMs) / 8;
    this.timeoutMs = Math.max(MIN_MS, this.smoothedMs + 4 * this.variationMs);
  }

  /** After so many attempts without an answer. */
  afterMs(attempts: number): number {
    return Math.min(MAX_MS, this.timeoutMs * 2 ** attempts);
  }
}
