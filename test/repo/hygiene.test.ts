import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import test from 'node:test';
import { read, root, sourceFiles } from './source-tree.js';

/** Runs a development tool; its own words are the failure's message. */
function passes(tool: string, ...args: string[]): void {
  try {
    execFileSync(join(root, 'node_modules/.bin', tool), args, {
      cwd: root,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    assert.fail(`${tool} ${args.join(' ')}\n${stdout}${stderr}`);
  }
}

test('Biome finds nothing to format and nothing to mend', () => {
  passes('biome', 'check', '--error-on-warnings', '.');
});

test('knip finds no unused file, dependency or export', () => {
  passes('knip');
});

test('dependencies have exact versions', () => {
  const manifest = JSON.parse(read('package.json'));
  const wanted = { ...manifest.dependencies, ...manifest.devDependencies };
  const loose = Object.entries(wanted).filter(
    ([, version]) => !/^\d+\.\d+\.\d+$/.test(`${version}`),
  );
  assert.deepEqual(loose, []);
});

test('the lock file names no registry', () => {
  const packages: Record<string, { resolved?: string }> = JSON.parse(
    read('package-lock.json'),
  ).packages;
  const named = Object.entries(packages).filter(([, entry]) => entry.resolved !== undefined);
  assert.deepEqual(named, []);
});

test('no file names a folder of the place it was written at', () => {
  // Put together here, so that this file does not find itself.
  const workplace = /(^|[\s'"`(=])\/(work|home\/\w+)\/(main|shared|\.library)\b/;
  const wrong = sourceFiles()
    .filter((path) => /\.(ts|mjs|js|json|md|c|h|sh|yml)$|^\.ci\/|^bin\//.test(path))
    .filter((path) => workplace.test(read(path)));
  assert.deepEqual(wrong, []);
});

test('no file names the registry that packages are installed from', () => {
  const npm = ['config', 'get', 'registry'];
  const registry = execFileSync('npm', npm, { cwd: root, encoding: 'utf8', stdio: 'pipe' });
  const { host } = new URL(registry.trim());
  const wrong = sourceFiles().filter((path) => read(path).includes(host));
  assert.deepEqual(wrong, []);
});

test('every promise of the specification names a test that is there', () => {
  const rows = read('docs/specification.md')
    .split('\n')
    .filter((line) => /^\| \d/.test(line));
  assert.ok(rows.length > 0);
  const wrong: string[] = [];
  const numbers = new Set<string>();
  for (const row of rows) {
    const [number, , where] = row
      .split(/(?<!\\)\|/)
      .slice(1)
      .map((cell) => cell.trim());
    if (numbers.has(number!)) wrong.push(`${number}: the number is given twice`);
    numbers.add(number!);
    const named = [...(where ?? '').matchAll(/`([^`]+\.test\.ts)`(?:: "([^"]+)")?/g)];
    if (named.length === 0) wrong.push(`${number}: names no test`);
    for (const [, path, title] of named) {
      if (!sourceFiles().includes(path!)) wrong.push(`${number}: ${path} is not there`);
      else if (title !== undefined && !read(path!).includes(title)) {
        wrong.push(`${number}: ${path} has no test "${title}"`);
      }
    }
  }
  assert.deepEqual(wrong, []);
});
