import { suggestion } from './args.js';
import { exitStatus, usageError } from './exit-status.js';
import { reportError } from './report-error.js';
import { verbs } from './verbs.js';

const synonyms: Readonly<Record<string, string>> = {
  '--version': 'version',
  '-v': 'version',
  '--help': 'help',
  '-h': 'help',
};

/** The `chassis` command: runs one verb and answers the status to end with; never throws. */
export async function main(argv: readonly string[]): Promise<number> {
  // Traces and warnings whose reader went away do not end the guest.
  process.stderr.on('error', () => {});
  // A reader that has seen enough, such as head, is no error.
  process.stdout.on('error', () => {});
  try {
    const word = argv[0];
    if (word === undefined) {
      process.stderr.write(verbs.help!.usage());
      return exitStatus.usage;
    }
    const name = synonyms[word] ?? word;
    const verb = Object.hasOwn(verbs, name) ? verbs[name] : undefined;
    if (verb === undefined) {
      const near = suggestion(word, Object.keys(verbs));
      throw usageError(`unknown command "${word}"${near}; chassis help lists the commands`);
    }
    const rest = argv.slice(1);
    const asksHelp = rest.some((argument) => argument === '--help' || argument === '-h');
    if (asksHelp) {
      process.stdout.write(verb.usage(rest));
      return exitStatus.ok;
    }
    return await verb.run(rest);
  } catch (error) {
    return reportError(error);
  }
}
