import { read, sourceFiles } from '../repo/source-tree.js';
import { sections } from './requirements.js';

interface TestOf {
  readonly file: string;
  readonly title: string;
}

/** Tests by the requirements that the comments before them name. */
export function testsByRequirement(): Map<string, TestOf[]> {
  const found = new Map<string, TestOf[]>();
  const files = sourceFiles().filter((path) =>
    /^(src\/virtio|test\/(virtio|boot))\/.*\.test\.ts$/.test(path),
  );
  for (const file of files) {
    const marked = /((?:^ *\/\/ requirement: .*\n)+)(?:^ *for .*\n)?\s*test\(\s*(['`])(.*?)\2,/gm;
    for (const [, comment, , title] of read(file).matchAll(marked)) {
      for (const [id] of comment!.matchAll(/\d+(\.\d+)*-\d+/g)) {
        found.set(id, [...(found.get(id) ?? []), { file, title: plain(title!) }]);
      }
    }
  }
  return found;
}

/** A title that a loop completes, without what it puts in. */
const plain = (title: string) =>
  title.replace(/^\$\{kind\}/, 'split, packed').replace(/\$\{.*?\}/g, '…');

/** docs/virtio-conformance.md */
export function conformanceTable(): string {
  const tests = testsByRequirement();
  const lines = [
    '# Conformance to VIRTIO 1.3',
    '',
    'Each sentence of the standard that says what a device MUST do, in our words, and the test that checks it.',
    'Written by `node tools/gen-virtio-conformance.mjs` from `test/virtio/requirements.ts` and the comments',
    '`// requirement:` before tests; a test of the repository holds both against each other.',
  ];
  for (const { number, title, requirements } of sections) {
    lines.push(
      '',
      `## ${number} ${title}`,
      '',
      '| | the device | checked by |',
      '| --- | --- | --- |',
    );
    for (const { id, must, none } of requirements) {
      const by = (tests.get(id) ?? []).map(({ file, title: name }) => `\`${file}\`: ${name}`);
      lines.push(`| ${id} | ${must} | ${none ?? by.join('; ')} |`);
    }
  }
  return `${lines.join('\n')}\n`;
}
