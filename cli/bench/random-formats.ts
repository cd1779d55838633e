/**
 * Canonical bytes of weights in a format that are made up: fields are random, scales such that a row of weights has the variance of one.
 *
 *     read = randomPlanes(q4_k, [4096, 4096], 7); read(from, into)
 */
import type { Format, Plane } from "../../runtime/weights/formats/format.js"
import { type PlaneLayout, planeLayout } from "../../runtime/weights/formats/layout.js"

/** Bytes of a block of random ones. A prime number of words, so that rows do not repeat after a few. */
const blockBytes = 4 * 262_139

const blocks = new Map<string, Uint8Array>()

/** Fills `into` with the canonical bytes from `from` on, always the same for the same seed; no float among them is a NaN. */
export function randomPlanes(format: Format, shape: readonly number[], seed: number) {
  const layouts = planeLayout(format, shape)
  const exponent = Math.max(leastExponent, Math.round(Math.log2(largestOf(format) / Math.sqrt(shape.at(-1)!))))
  return (from: number, into: Uint8Array): Uint8Array => {
    into.fill(0)
    for (const layout of layouts) {
      const [first, end] = [
        Math.max(from, layout.offset),
        Math.min(from + into.length, layout.offset + layout.byteLength),
      ]
      if (first >= end) continue
      const part = into.subarray(first - from, end - from)
      if (layout.plane.shared) fillGroups(part, first - layout.offset, layout, layouts)
      else fillRandom(part, first - layout.offset, layout, { exponent, seed })
    }
    return into
  }
}

/** Of scales that f16 has with all digits. */
const leastExponent = -12

/** Scales for weights of one over so much: a typical code, and what scales it. Counted. */
function largestOf({ name }: Format): number {
  if (/^q[45]_k/.test(name)) return 1 / 64
  if (name === "q6_k" || name === "iq4_xs") return 1 / 512
  return /^(q8|int8|iq4)/.test(name) ? 1 / 32 : /^fp8/.test(name) ? 2 : 1 / 4
}

interface Kind {
  readonly exponent: number
  readonly seed: number
}

function fillRandom(into: Uint8Array, from: number, { plane }: PlaneLayout, kind: Kind): void {
  const first = from % blockBytes
  const block = blockOf(plane, kind, Math.min(first + into.length, blockBytes))
  let at = first
  for (let done = 0; done < into.length; at = 0) {
    const part = block.subarray(at, Math.min(at + into.length - done, blockBytes))
    into.set(part, done)
    done += part.length
  }
}

/** The first bytes of a block, twice as many each time that more are asked for. */
function blockOf({ field, per }: Plane, { exponent, seed }: Kind, bytes: number): Uint8Array {
  const isScale = per !== 1
  const key = `${field} ${isScale} ${exponent} ${seed}`
  const known = blocks.get(key)
  if (known !== undefined && known.length >= bytes) return known
  // Numbers from a quarter to a half of two to the exponent.
  const halves = (bias: number, fraction: number): Bits => {
    const digits = 2 ** fraction - 1
    const one = (exponent - 2 + bias) << fraction
    return [digits | (digits << 16), one | (one << 16)]
  }
  const [kept, set] =
    field === "f16"
      ? halves(15, 10)
      : field === "bf16"
        ? halves(127, 7)
        : field === "f32"
          ? [0x7fffff, (exponent - 2 + 127) << 23]
          : // Scales of scales have six bits.
            [field === "u8" && isScale ? 0x3f3f3f3f : field === "e4m3" ? 0xbfbfbfbf : -1, 0]
  const words = randomWords(seed, Math.min(Math.max(Math.ceil(bytes / 4), (known?.length ?? 0) / 2), blockBytes / 4))
  for (let i = 0; i < words.length; i++) words[i] = (words[i]! & kept) | set
  const block = new Uint8Array(words.buffer)
  blocks.set(key, block)
  return block
}

/** Bits of words that stay random, and those that are set. */
type Bits = readonly [kept: number, set: number]

/** Which group each column is in, where a plane says it: any of those that there are. */
function fillGroups(into: Uint8Array, from: number, { plane }: PlaneLayout, layouts: readonly PlaneLayout[]): void {
  const groups = layouts.find((l) => l.plane.by === plane.name)?.fields ?? 1
  const column = (at: number) => ((at >> 1) * 40503) % groups
  for (let i = 0; i < into.length; i++) into[i] = (column(from + i) >> (8 * ((from + i) & 1))) & 255
}

/** Marsaglia's xorshift (2003) with the shifts 13, 17, 5; a state of 0 would stay 0. */
export function randomWords(seed: number, count: number): Uint32Array<ArrayBuffer> {
  const words = new Uint32Array(count)
  let state = (seed * 2654435761 + 1) >>> 0 || 1
  for (let i = 0; i < count; i++) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    words[i] = state
  }
  return words
}
