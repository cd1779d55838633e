/**
 * From the blocks of a GGUF file to planes: for each type, where in a block the fields of each plane are.
 *
 *     q4_0:  [scale u16 | 16 bytes: weight j in the low half of byte j, weight j + 16 in the high half] …   →   codes   scale
 *
 * Blocks are read as half words, for most of them have no multiple of four bytes. Source of the layouts: ggml-common.h of llama.cpp.
 */
import { lowHalves, transposeBytes, transposePairs, transposeQuarters } from "./bits.js"
import * as formats from "./blocks.js"
import type { Format } from "./format.js"

/** Writes the fields that whole blocks have in a plane: `into` begins with the first of them, at a multiple of four bytes. */
export type Extract = (blocks: Uint16Array, count: number, into: Uint8Array) => void

/** A type of GGUF's tensors that comes in blocks. */
export interface BlockType {
  readonly format: Format
  /** Of one block, which holds `format.block` weights. */
  readonly bytes: number
  /** By the names of the format's planes. */
  readonly extract: Readonly<Record<string, Extract>>
}

const words = (into: Uint8Array) => new Uint32Array(into.buffer, into.byteOffset, into.byteLength >> 2)

/** The word of two half words. */
const wordAt = (blocks: Uint16Array, at: number) => blocks[at]! | (blocks[at + 1]! << 16)

/**
 * Codes of four bits: in each run of bytes, those of the low halves come first.
 *
 * @param bytes of a block
 * @param from where in a block the first run begins, in bytes
 * @param run bytes of a run, which is half of its weights
 * @param runs of a block
 */
const nibbles = (bytes: number, from: number, run: number, runs: number): Extract => {
  const [stride, first, step, half] = [bytes / 2, from / 2, run / 2, run / 8]
  return (blocks, count, into) => {
    const to = words(into)
    let at = 0
    for (let block = 0; block < count; block++)
      for (let r = 0; r < runs; r++, at += half) {
        const start = block * stride + first + r * step
        for (let i = start; i < start + step; i += 4, at++) {
          const [a, b] = [wordAt(blocks, i), wordAt(blocks, i + 2)]
          to[at] = lowHalves(a, b)
          to[at + half] = lowHalves(a >>> 4, b >>> 4)
        }
      }
  }
}

/** A half word of each block as it is. */
const halfWord = (bytes: number, from: number): Extract => {
  const [stride, first] = [bytes / 2, from / 2]
  return (blocks, count, into) => {
    const to = new Uint16Array(into.buffer, into.byteOffset, count)
    for (let block = 0, at = first; block < count; block++, at += stride) to[block] = blocks[at]!
  }
}

/** Words as they are, so many bytes of each block. */
const copied = (bytes: number, from: number, length: number): Extract => {
  const [stride, first, each] = [bytes / 2, from / 2, length / 2]
  return (blocks, count, into) => {
    const to = words(into)
    let at = 0
    for (let block = 0; block < count; block++) {
      const start = block * stride + first
      for (let i = start; i < start + each; i += 2) to[at++] = wordAt(blocks, i)
    }
  }
}

/** The scales, or the minima, of a block whose twelve bytes from `from` on hold eight of each: six bits in three groups of four bytes. */
const sixBits = (bytes: number, from: number, which: "scale" | "minimum"): Extract => {
  const [stride, first] = [bytes / 2, from / 2]
  const [low, shift] = which === "scale" ? [first, 0] : [first + 2, 4]
  return (blocks, count, into) => {
    const to = words(into)
    for (let block = 0, start = 0; block < count; block++, start += stride) {
      const [a, c] = [wordAt(blocks, start + low), wordAt(blocks, start + first + 4)]
      to[block * 2] = a & 0x3f3f3f3f
      to[block * 2 + 1] = ((c >>> shift) & 0x0f0f0f0f) | ((a >>> 2) & 0x30303030)
    }
  }
}

/** The fifth bits of q5_k: bit `s` of byte `l` of 32 is that of weight 32 s + l. */
const bitsAcross = (bytes: number, from: number): Extract => {
  const [stride, first] = [bytes / 2, from / 2]
  /** Bits 0 … 3 and 4 … 7 of eight bytes, for each of them a byte. */
  const lower = new Int32Array(4)
  const upper = new Int32Array(4)
  return (blocks, count, into) => {
    const to = words(into)
    for (let block = 0; block < count; block++) {
      const start = block * stride + first
      for (let i = 0; i < 4; i++) {
        const a = transposeQuarters(wordAt(blocks, start + i * 4))
        const b = transposeQuarters(wordAt(blocks, start + i * 4 + 2))
        lower[i] = (a & 0x0f0f0f0f) | ((b & 0x0f0f0f0f) << 4)
        upper[i] = ((a >>> 4) & 0x0f0f0f0f) | (b & 0xf0f0f0f0)
      }
      transposeBytes(to, block * 8, 1, lower[0]!, lower[1]!, lower[2]!, lower[3]!)
      transposeBytes(to, block * 8 + 4, 1, upper[0]!, upper[1]!, upper[2]!, upper[3]!)
    }
  }
}

/** The fifth and sixth bits of q6_k: of each half of the block, pair `s` of byte `l` of 32 is that of weight 32 s + l. */
const pairsAcross = (bytes: number, from: number): Extract => {
  const [stride, first] = [bytes / 2, from / 2]
  return (blocks, count, into) => {
    const to = words(into)
    const word = (at: number) => transposePairs(wordAt(blocks, at))
    for (let block = 0; block < count; block++)
      for (let part = 0; part < 4; part++) {
        const start = block * stride + first + part * 8
        const at = block * 16 + (part >> 1) * 8 + (part & 1)
        transposeBytes(to, at, 2, word(start), word(start + 2), word(start + 4), word(start + 6))
      }
  }
}

/** The scales of iq4_xs, less 32: four bits each in four bytes, and two more of each in the half word before. */
const splitScales = (bytes: number, high: number, low: number): Extract => {
  const stride = bytes / 2
  return (blocks, count, into) => {
    for (let block = 0; block < count; block++) {
      const above = blocks[block * stride + high / 2]!
      const below = wordAt(blocks, block * stride + low / 2)
      for (let s = 0; s < 8; s++)
        into[block * 8 + s] = (((below >>> (s * 4)) & 15) | (((above >>> (s * 2)) & 3) << 4)) - 32
    }
  }
}

const type = (format: Format, bytes: number, extract: BlockType["extract"]): BlockType => ({ format, bytes, extract })

const scale = (bytes: number, from = 0) => halfWord(bytes, from)
const scales = (bytes: number) => ({
  scale: sixBits(bytes, 4, "scale"),
  minimum: sixBits(bytes, 4, "minimum"),
  blockScale: scale(bytes, 0),
  blockMinimum: scale(bytes, 2),
})

/** The types in blocks, by the names that ggml has for them. */
export const blockTypes = {
  Q8_0: type(formats.q8_0, 34, { codes: copied(34, 2, 32), scale: scale(34) }),
  Q4_0: type(formats.q4_0, 18, { codes: nibbles(18, 2, 16, 1), scale: scale(18) }),
  Q4_1: type(formats.q4_1, 20, { codes: nibbles(20, 4, 16, 1), scale: scale(20), minimum: scale(20, 2) }),
  Q5_0: type(formats.q5_0, 22, { codes: nibbles(22, 6, 16, 1), high: copied(22, 2, 4), scale: scale(22) }),
  Q5_1: type(formats.q5_1, 24, {
    codes: nibbles(24, 8, 16, 1),
    high: copied(24, 4, 4),
    scale: scale(24),
    minimum: scale(24, 2),
  }),
  Q4_K: type(formats.q4_k, 144, { codes: nibbles(144, 16, 32, 4), ...scales(144) }),
  Q5_K: type(formats.q5_k, 176, { codes: nibbles(176, 48, 32, 4), high: bitsAcross(176, 16), ...scales(176) }),
  Q6_K: type(formats.q6_k, 210, {
    codes: nibbles(210, 0, 64, 2),
    high: pairsAcross(210, 128),
    scale: copied(210, 192, 16),
    blockScale: scale(210, 208),
  }),
  IQ4_NL: type(formats.iq4_nl, 18, { codes: nibbles(18, 2, 16, 1), scale: scale(18) }),
  IQ4_XS: type(formats.iq4_xs, 136, {
    codes: nibbles(136, 8, 16, 8),
    scale: splitScales(136, 2, 4),
    blockScale: scale(136),
  }),
} as const satisfies Record<string, BlockType>
