/**
 * Node waits for its workers when the process ends, and cannot interrupt one that is in a system call:
 * those are told first.
 */
const enders = new Set<() => void>();

/** `end` is called when the process ends, unless the answer is called before. */
export function atExit(end: () => void): () => void {
  if (enders.size === 0) process.once('exit', endAll);
  enders.add(end);
  return () => {
    if (enders.delete(end) && enders.size === 0) process.off('exit', endAll);
  };
}

function endAll(): void {
  for (const end of [...enders]) end();
}
