import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The repository's root, wherever the command was called from. */
export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** Where what is the guest's is kept: fetched files, lists of packages, built initramfs. */
export const cacheDir = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'chassis');

/** Fetched and built guest files, under the names in `guests.mjs`. */
export const guestDir = join(cacheDir, 'guests');
