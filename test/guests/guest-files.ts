import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

const folder = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'chassis', 'guests');

/** Where tools/fetch-guests.mjs has put a guest's file. */
export function guestFile(name: string): string {
  return join(folder, name);
}

/** For a test's options: runs where the files are, and says what is missing where they are not. */
export function needsGuests(...names: string[]): { skip: string | false } {
  const missing = names.filter((name) => !existsSync(guestFile(name)));
  const how = 'node tools/fetch-guests.mjs --all fetches them';
  return { skip: missing.length > 0 && `no ${missing.join(', ')} in ${folder}; ${how}` };
}
