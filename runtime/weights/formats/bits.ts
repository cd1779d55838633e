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

/**
 * Eight words of eight fields of four bits: field `r` of the word at `from + c · step` becomes field `c` of the word at `at + order[r] · stride`,
 * in AWQ's order, 0 2 4 6 1 3 5 7.
 */
export function transposeFields(
  words: Uint32Array,
  from: number,
  step: number,
  to: Uint32Array,
  at: number,
  stride: number,
): void {
  // Written out: in a loop over an array it takes three times as long.
  let w0 = words[from]!
  let w1 = words[from + 1 * step]!
  let w2 = words[from + 2 * step]!
  let w3 = words[from + 3 * step]!
  let w4 = words[from + 4 * step]!
  let w5 = words[from + 5 * step]!
  let w6 = words[from + 6 * step]!
  let w7 = words[from + 7 * step]!
  let swapped: number
  swapped = ((w0 >>> 16) ^ w4) & 0xffff
  w4 ^= swapped
  w0 ^= swapped << 16
  swapped = ((w1 >>> 16) ^ w5) & 0xffff
  w5 ^= swapped
  w1 ^= swapped << 16
  swapped = ((w2 >>> 16) ^ w6) & 0xffff
  w6 ^= swapped
  w2 ^= swapped << 16
  swapped = ((w3 >>> 16) ^ w7) & 0xffff
  w7 ^= swapped
  w3 ^= swapped << 16
  swapped = ((w0 >>> 8) ^ w2) & 0x00ff00ff
  w2 ^= swapped
  w0 ^= swapped << 8
  swapped = ((w1 >>> 8) ^ w3) & 0x00ff00ff
  w3 ^= swapped
  w1 ^= swapped << 8
  swapped = ((w4 >>> 8) ^ w6) & 0x00ff00ff
  w6 ^= swapped
  w4 ^= swapped << 8
  swapped = ((w5 >>> 8) ^ w7) & 0x00ff00ff
  w7 ^= swapped
  w5 ^= swapped << 8
  swapped = ((w0 >>> 4) ^ w1) & 0x0f0f0f0f
  w1 ^= swapped
  w0 ^= swapped << 4
  swapped = ((w2 >>> 4) ^ w3) & 0x0f0f0f0f
  w3 ^= swapped
  w2 ^= swapped << 4
  swapped = ((w4 >>> 4) ^ w5) & 0x0f0f0f0f
  w5 ^= swapped
  w4 ^= swapped << 4
  swapped = ((w6 >>> 4) ^ w7) & 0x0f0f0f0f
  w7 ^= swapped
  w6 ^= swapped << 4
  to[at] = w0
  to[at + 2 * stride] = w1
  to[at + 4 * stride] = w2
  to[at + 6 * stride] = w3
  to[at + stride] = w4
  to[at + 3 * stride] = w5
  to[at + 5 * stride] = w6
  to[at + 7 * stride] = w7
}
