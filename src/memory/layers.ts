/** What stands at a run of guest-physical addresses; `undefined` place: the bus, not memory. */
export interface Mapping {
  readonly gpa: number;
  readonly sizeBytes: number;
  readonly place: number | undefined;
  readonly readonly: boolean;
  /** For people: `ram`, `bios`. */
  readonly what: string;
}

/**
 * Lays mappings over each other, later ones on top, and gives what shows: disjoint, in order of
 * addresses, neighbours that go on in the same memory joined. Mappings to the bus leave a gap.
 */
export function flatten(layers: readonly Mapping[]): Mapping[] {
  let shown: Mapping[] = [];
  for (const top of layers) {
    if (top.sizeBytes === 0) continue;
    shown = shown.flatMap((under) => uncovered(under, top));
    shown.push(top);
  }
  const result: Mapping[] = [];
  for (const one of shown.sort((a, b) => a.gpa - b.gpa)) {
    if (one.place === undefined) continue;
    const last = result.at(-1);
    if (last !== undefined && joins(last, one)) {
      result[result.length - 1] = { ...last, sizeBytes: last.sizeBytes + one.sizeBytes };
    } else result.push(one);
  }
  return result;
}

/** What of `under` shows beside `top`. */
function uncovered(under: Mapping, top: Mapping): Mapping[] {
  const end = under.gpa + under.sizeBytes;
  const topEnd = top.gpa + top.sizeBytes;
  if (top.gpa >= end || topEnd <= under.gpa) return [under];
  const parts: Mapping[] = [];
  if (under.gpa < top.gpa) parts.push({ ...under, sizeBytes: top.gpa - under.gpa });
  if (topEnd < end) {
    const skipped = topEnd - under.gpa;
    const place = under.place === undefined ? undefined : under.place + skipped;
    parts.push({ ...under, gpa: topEnd, sizeBytes: end - topEnd, place });
  }
  return parts;
}

function joins(low: Mapping, high: Mapping): boolean {
  return (
    low.gpa + low.sizeBytes === high.gpa &&
    low.place! + low.sizeBytes === high.place &&
    low.readonly === high.readonly &&
    low.what === high.what
  );
}
