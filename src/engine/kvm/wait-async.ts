/** The part of Atomics.waitAsync [ECMAScript 2024] that is used. */
const { waitAsync } = Atomics as unknown as {
  waitAsync(
    words: Int32Array,
    index: number,
    value: number,
  ): { async: boolean; value: Promise<string> | string };
};

/** Calls back, never at once, when a shared word is other than `value`; the answer calls that off. */
export function whenChanged(
  words: Int32Array,
  index: number,
  value: number,
  callback: () => void,
): () => void {
  let wanted = true;
  void Promise.resolve(waitAsync(words, index, value).value).then(() => {
    if (wanted) callback();
  });
  return () => {
    wanted = false;
  };
}
