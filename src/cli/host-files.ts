import { accessSync, constants, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { FileChar } from '../backend/node/file-char.js';
import type { NamedFile } from '../machine/config.js';
import { CliError, exitStatus } from './exit-status.js';

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file or folder',
  EACCES: 'its permissions do not allow it',
  EISDIR: 'it is a folder',
  ENOTDIR: 'a part of its path is not a folder',
  ENOSPC: 'the disk is full',
  EROFS: 'the file system is read-only',
  ERR_FS_FILE_TOO_LARGE: 'it is larger than 2 GiB',
};

/** A host file that cannot be used, as one sentence: flag, file, reason. */
function fileError(flag: string, doing: string, path: string, error: unknown): CliError {
  const { code, message } = error as NodeJS.ErrnoException;
  const reason = reasons[code ?? ''] ?? message;
  return new CliError(exitStatus.badInput, `${flag}: cannot ${doing} ${path}: ${reason}`, {
    cause: error,
  });
}

/** A file the user names by a flag, whole. */
export function readInput(flag: string, path: string): NamedFile {
  try {
    return { name: path, data: readFileSync(path) };
  } catch (error) {
    throw fileError(flag, 'read', path, error);
  }
}

/** A file that output goes to while the guest runs. */
export function openOutput(flag: string, path: string): FileChar {
  try {
    return new FileChar(path);
  } catch (error) {
    throw fileError(flag, 'write', path, error);
  }
}

/** Fails early, before a guest has run for hours, where a file could not be written in the end. */
export function checkWritable(flag: string, path: string): void {
  try {
    accessSync(dirname(path), constants.W_OK);
  } catch (error) {
    throw fileError(flag, 'write', path, error);
  }
}

/** Writes a file so that at any time it is the old one or the new one, whole. */
export function writeWhole(flag: string, path: string, bytes: Uint8Array, mode = 0o666): void {
  const partial = `${path}.${process.pid}.partial`;
  try {
    writeFileSync(partial, bytes, { mode });
    renameSync(partial, path);
  } catch (error) {
    rmSync(partial, { force: true });
    throw fileError(flag, 'write', path, error);
  }
}
