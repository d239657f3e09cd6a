// Fetches the guest files of `npm start` (with --all: of every test too) and builds the initramfs.
import { ensureGuests } from './lib/guests.mjs';
import { guestDir } from './lib/paths.mjs';
import { main } from './lib/step.mjs';

await main(async () => {
  await ensureGuests({ all: process.argv.includes('--all') });
  console.log(guestDir);
});
