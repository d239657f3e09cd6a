import type { SystemProgram } from './programs.js';

/** Lines by what stands before the colon; a name that comes again gets a number. */
export function byName(transcript: string): Map<string, string> {
  const lines = new Map<string, string>();
  const counts = new Map<string, number>();
  for (const line of transcript.split('\n')) {
    if (line === '') continue;
    const end = line.indexOf(':');
    const name = end < 0 ? line : line.slice(0, end);
    const count = (counts.get(name) ?? 0) + 1;
    counts.set(name, count);
    lines.set(count === 1 ? name : `${name} (${count})`, end < 0 ? '' : line.slice(end + 1).trim());
  }
  return lines;
}

/** Lines that two transcripts do not have in common, as sentences. */
export function differences(expected: string, found: string): string[] {
  const [wanted, got] = [byName(expected), byName(found)];
  const names = [...new Set([...wanted.keys(), ...got.keys()])];
  return names.flatMap((name) => {
    const [a, b] = [wanted.get(name), got.get(name)];
    if (a === b) return [];
    return [`${name}\n    wanted ${a ?? '(no line)'}\n    found  ${b ?? '(no line)'}`];
  });
}

/** Whether a line is one of a program's exceptions. */
export function isExcepted(program: SystemProgram, name: string): boolean {
  return program.exceptions.some(({ lines }) =>
    lines.some((line) => (line.endsWith('*') ? name.startsWith(line.slice(0, -1)) : name === line)),
  );
}
