import { main } from '#src/cli/main.js';

// Runs commands for `command.test.ts`, one after the other: each would else start a process.
const said = { out: '', err: '' };
process.stdout.write = (text: string | Uint8Array) => {
  said.out += text;
  return true;
};
process.stderr.write = (text: string | Uint8Array) => {
  said.err += text;
  return true;
};

process.on('message', async ({ folder, argv }: { folder: string; argv: string[] }) => {
  Object.assign(said, { out: '', err: '' });
  process.chdir(folder);
  const status = await main(argv);
  process.send?.({ status, ...said });
});
