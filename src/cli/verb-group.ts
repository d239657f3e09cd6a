import { suggestion } from './args.js';
import { exitStatus, usageError } from './exit-status.js';
import type { Verb } from './verb.js';

export interface VerbGroup {
  readonly name: string;
  readonly summary: string;
  readonly verbs: Readonly<Record<string, Verb>>;
  /** What their own help shows beside flags, as "its flags" or more. */
  readonly helpShows: string;
  readonly example: string;
}

/** A verb with verbs of its own: `chassis NAME VERB`. */
export function verbGroup({ name, summary, verbs, helpShows, example }: VerbGroup): Verb {
  const usage = (argv: readonly string[] = []): string => {
    const asked = argv.find((word) => Object.hasOwn(verbs, word));
    if (asked !== undefined) return verbs[asked]!.usage();
    const lines = Object.entries(verbs).map(
      ([verb, { summary }]) => `  ${verb.padEnd(10)}${summary}\n`,
    );
    return (
      `usage: chassis ${name} VERB ...\n\n${lines.join('')}\n` +
      `chassis ${name} VERB --help shows ${helpShows}.\n\nExample:\n  ${example}\n`
    );
  };
  return {
    summary,
    usage,
    async run([verb, ...rest]) {
      if (verb === undefined) {
        process.stderr.write(usage());
        return exitStatus.usage;
      }
      if (Object.hasOwn(verbs, verb)) return verbs[verb]!.run(rest);
      const near = suggestion(verb, Object.keys(verbs));
      throw usageError(`${name}: unknown verb "${verb}"${near}; chassis ${name} --help lists them`);
    },
  };
}
