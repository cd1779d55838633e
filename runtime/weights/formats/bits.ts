/**
 * Fields that are brought into another order, several of them at a time in a word.
 *
 * Each step swaps what is on the two sides of a diagonal: fields that differ in one digit of their row and one of their column, which are
 * all as far from each other. Source: Warren, Hacker's Delight, 7-3.
 */

/** The low halves of four bytes each of two words, close together. */
export function lowHalves(a: number, b: number): number {
  let x = (a & 0x0f0f0f0f) | ((b & 0x0f0f0f0f) << 4)
  let swapped = (x ^ (x >>> 4)) & 0x00f000f0
  x ^= swapped ^ (swapped << 4)
  swapped = (x ^ (x >>> 8)) & 0x0000ff00
  return x ^ swapped ^ (swapped << 8)
}

/** Four bytes of four pairs of bits: byte `r`, pair `c` becomes byte `c`, pair `r`. */
export function transposePairs(word: number): number {
  let x = word
  let swapped = (x ^ (x >>> 6)) & 0x00cc00cc
  x ^= swapped ^ (swapped << 6)
  swapped = (x ^ (x >>> 12)) & 0x0000f0f0
  return x ^ swapped ^ (swapped << 12)
}

/** Four bytes of eight bits: of each 4 by 4, row `r`, bit `c` becomes row `c`, bit `r`. */
export function transposeQuarters(word: number): number {
  let x = word
  let swapped = (x ^ (x >>> 7)) & 0x00aa00aa
  x ^= swapped ^ (swapped << 7)
  swapped = (x ^ (x >>> 14)) & 0x0000cccc
  return x ^ swapped ^ (swapped << 14)
}

/** Four words of four bytes: byte `r` of word `c` becomes byte `c` of `to[at + r · step]`. */
export function transposeBytes(to: Uint32Array, at: number, step: number, a: number, b: number, c: number, d: number) {
  const ab = (a & 0x00ff00ff) | ((b & 0x00ff00ff) << 8)
  const cd = (c & 0x00ff00ff) | ((d & 0x00ff00ff) << 8)
  const abOdd = ((a >>> 8) & 0x00ff00ff) | (b & 0xff00ff00)
  const cdOdd = ((c >>> 8) & 0x00ff00ff) | (d & 0xff00ff00)
  to[at] = (ab & 0xffff) | (cd << 16)
  to[at + step] = (abOdd & 0xffff) | (cdOdd << 16)
  to[at + 2 * step] = (ab >>> 16) | (cd & 0xffff0000)
  to[at + 3 * step] = (abOdd >>> 16) | (cdOdd & 0xffff0000)
}
