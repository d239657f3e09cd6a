import type { Verb } from '../verb.js';
import { verbGroup } from '../verb-group.js';
import { check, repair } from './check.js';
import { commit } from './commit.js';
import { compare } from './compare.js';
import { convert } from './convert.js';
import { create } from './create.js';
import { info } from './info.js';
import { map } from './map.js';
import { rebase } from './rebase.js';
import { resize } from './resize.js';
import { snapshot } from './snapshot.js';

const verbs: Readonly<Record<string, Verb>> = {
  create,
  info,
  resize,
  convert,
  check,
  repair,
  commit,
  rebase,
  map,
  compare,
  snapshot,
};

/** `chassis disk VERB`: images, while no machine uses them. */
export const disk: Verb = verbGroup({
  name: 'disk',
  summary: 'make, convert, check and change disk images',
  verbs,
  helpShows: 'its flags, and how a file is written',
  example: 'chassis disk convert a.raw,format=raw b.qcow2,format=qcow2',
});
