/** Weights straight out of the blocks of GGUF's types, one loop each as in ggml-quants.c, in float32 of one rounding a step. */

const f = Math.fround

/** The half precision number at a place, by its parts. */
function half(block: Uint8Array, at: number): number {
  const bits = block[at]! | (block[at + 1]! << 8)
  const [exponent, fraction] = [(bits >> 10) & 31, bits & 1023]
  const magnitude = exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25)
  return bits & 0x8000 ? -magnitude : magnitude
}

const signed = (byte: number) => (byte << 24) >> 24
const table = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113]

/** Weight `j` of 32 with codes of four bits from `at` on: the low halves are the first sixteen. */
const nibble = (block: Uint8Array, at: number, j: number) => (j < 16 ? block[at + j]! & 15 : block[at + j - 16]! >> 4)

const bit = (block: Uint8Array, at: number, j: number) => (block[at + (j >> 3)]! >> (j & 7)) & 1

/** The scale and the minimum of sub-block `j`. */
function scaleAndMinimum(block: Uint8Array, at: number, j: number): readonly [number, number] {
  const q = (i: number) => block[at + i]!
  if (j < 4) return [q(j) & 63, q(j + 4) & 63]
  return [(q(j + 4) & 15) | ((q(j - 4) >> 6) << 4), (q(j + 4) >> 4) | ((q(j) >> 6) << 4)]
}

/** A weight of a block with scales and minima, whose codes begin at `from`. */
function large(block: Uint8Array, from: number, j: number, high: number): number {
  const sub = j >> 5
  const byte = block[from + (j >> 6) * 32 + (j & 31)]!
  const code = (sub & 1 ? byte >> 4 : byte & 15) + 16 * high
  const [scale, minimum] = scaleAndMinimum(block, 4, sub)
  return f(f(f(half(block, 0) * scale) * code) - f(half(block, 2) * minimum))
}

function q6(block: Uint8Array, j: number): number {
  const [part, l] = [j >> 7, j & 127]
  const byte = block[part * 64 + (l & 63)]!
  const high = (block[128 + part * 32 + (l & 31)]! >> ((l >> 5) * 2)) & 3
  const code = ((l < 64 ? byte & 15 : byte >> 4) | (high << 4)) - 32
  return f(f(half(block, 208) * signed(block[192 + (j >> 4)]!)) * code)
}

function iq4(block: Uint8Array, j: number): number {
  const sub = j >> 5
  const low = (block[4 + (sub >> 1)]! >> ((sub & 1) * 4)) & 15
  const high = ((block[2]! | (block[3]! << 8)) >> (sub * 2)) & 3
  const scale = f(half(block, 0) * ((low | (high << 4)) - 32))
  return f(scale * table[nibble(block, 8 + sub * 16, j & 31)]!)
}

/** For each type, weight `j` of a block. */
export const weightOf: Readonly<Record<string, (block: Uint8Array, j: number) => number>> = {
  Q8_0: (b, j) => f(half(b, 0) * signed(b[2 + j]!)),
  Q4_0: (b, j) => f(half(b, 0) * (nibble(b, 2, j) - 8)),
  Q4_1: (b, j) => f(f(half(b, 0) * nibble(b, 4, j)) + half(b, 2)),
  Q5_0: (b, j) => f(half(b, 0) * (nibble(b, 6, j) + 16 * bit(b, 2, j) - 16)),
  Q5_1: (b, j) => f(f(half(b, 0) * (nibble(b, 8, j) + 16 * bit(b, 4, j))) + half(b, 2)),
  Q4_K: (b, j) => large(b, 16, j, 0),
  Q5_K: (b, j) => large(b, 48, j, (b[16 + (j & 31)]! >> (j >> 5)) & 1),
  Q6_K: q6,
  IQ4_NL: (b, j) => f(half(b, 0) * table[nibble(b, 2, j)]!),
  IQ4_XS: iq4,
}
