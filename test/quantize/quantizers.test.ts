/** Quantizers: what they write is as near to the weights as its own scales allow, and as near as plain rounding and llama.cpp's quantizers at least. */
import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { blockReader } from "../../runtime/weights/formats/block-reader.js"
import { decodeTensor } from "../../runtime/weights/formats/decode.js"
import { formatBytes } from "../../runtime/weights/formats/layout.js"
import { blockTypes } from "../../runtime/weights/formats/repack.js"
import { halfBits, halfNumber } from "../../runtime/weights/half.js"
import { type QuantizedName, quantizers } from "../../runtime/weights/quantize/quantizers.js"
import { law } from "../laws/settings.js"

const typeOf = { q8_0: blockTypes.Q8_0, q6_k: blockTypes.Q6_K, q4_k: blockTypes.Q4_K } as const
const names = Object.keys(quantizers) as readonly QuantizedName[]

function quantized(name: QuantizedName, weights: Float32Array): { blocks: Uint8Array; error: number } {
  const { quantize, block, bytes } = quantizers[name]
  const blocks = new Uint8Array((weights.length / block) * bytes)
  return { blocks, error: quantize(weights, blocks) }
}

/** What the reader makes of blocks. */
async function decoded(name: QuantizedName, blocks: Uint8Array): Promise<Float32Array> {
  const type = typeOf[name]
  const shape = [(blocks.length / type.bytes) * type.format.block]
  const read = blockReader(type, shape, async (offset, length) => blocks.subarray(offset, offset + length))
  return decodeTensor(type.format, shape, await read(0, formatBytes(type.format, shape)))
}

/** The same blocks with all codes one. */
function withCode(name: QuantizedName, blocks: Uint8Array, code: number): Uint8Array {
  const changed = blocks.slice()
  const { bytes } = quantizers[name]
  for (let at = 0; at < blocks.length; at += bytes)
    if (name === "q8_0") changed.fill(code, at + 2, at + 34)
    else if (name === "q4_k") changed.fill(code | (code << 4), at + 16, at + 144)
    else {
      changed.fill((code & 15) | ((code & 15) << 4), at, at + 128)
      changed.fill((code >> 4) * 0b01010101, at + 128, at + 192)
    }
  return changed
}
const codesOf: Record<QuantizedName, readonly number[]> = {
  q8_0: Array.from({ length: 255 }, (_, i) => i - 127),
  q6_k: Array.from({ length: 64 }, (_, i) => i),
  q4_k: Array.from({ length: 16 }, (_, i) => i),
}

/** Numbers between -0.5 and 0.5, the same for the same seed. */
function uniform(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return (state >>> 16) / 65536 - 0.5
  }
}

const sumOfSquares = (a: ArrayLike<number>, b?: ArrayLike<number>): number => {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += (a[i]! - (b?.[i] ?? 0)) ** 2
  return sum
}

/** Weights such as models have them, and such as they have not: far ones, a sign only, most of them nothing, all alike. */
const kinds: Readonly<Record<string, (next: () => number, i: number) => number>> = {
  normal: (next) => next() + next() + next() + next(),
  uniform: (next) => next(),
  far: (next) => next() * (next() > 0.48 ? 50 : 1),
  positive: (next) => next() + 0.5,
  negative: (next) => next() - 0.5,
  sparse: (next) => (next() > 0.4 ? next() : 0),
  parts: (next, i) => next() * 10 ** -(Math.floor(i / 32) % 3),
  constant: () => 1,
}

function weightsOf(kind: string, seed: number, scale: number, count = 512): Float32Array {
  const next = uniform(seed)
  return Float32Array.from({ length: count }, (_, i) => kinds[kind]!(next, i) * scale)
}

interface Case {
  readonly kind: string
  readonly seed: number
  readonly exponent: number
}
const cases = (least: number, most: number): fc.Arbitrary<Case> =>
  fc.record({
    kind: fc.constantFrom(...Object.keys(kinds)),
    seed: fc.nat(),
    exponent: fc.integer({ min: least, max: most }),
  })
const weightsIn = ({ kind, seed, exponent }: Case) => weightsOf(kind, seed, 10 ** exponent)

describe.each(names)("%s", (name) => {
  test("the error that is told is that of what the reader decodes", async () => {
    for (const kind of Object.keys(kinds)) {
      const weights = weightsOf(kind, 7, 0.03)
      const { blocks, error } = quantized(name, weights)
      const read = sumOfSquares(weights, await decoded(name, blocks))
      expect(Math.abs(error - read), kind).toBeLessThanOrEqual(1e-5 * read + 1e-12 * sumOfSquares(weights))
    }
  })

  test("no other code would bring a weight nearer", async () => {
    for (const kind of Object.keys(kinds))
      for (const scale of [1e-6, 0.03]) {
        const weights = weightsOf(kind, 11, scale, 256)
        const { blocks } = quantized(name, weights)
        const found = await decoded(name, blocks)
        const others = await Promise.all(codesOf[name].map((code) => decoded(name, withCode(name, blocks, code))))
        const isNearest = (x: number, i: number) => {
          const least = others.reduce((near, values) => Math.min(near, Math.abs(values[i]! - x)), Infinity)
          return Math.abs(found[i]! - x) <= least * 1.00001 + 1e-7 * Math.abs(x)
        }
        expect(weights.every(isNearest), `${kind} ${scale}`).toBe(true)
      }
  })

  test("never further off than plain rounding", () => {
    law(`${name} beside plain rounding`, cases(1, 4), 150, (given) => {
      const weights = weightsIn(given)
      const { error } = quantized(name, weights)
      expect(error).toBeLessThanOrEqual(plainError(name, weights) * 1.000001)
    })
  })

  test("weights of any magnitude stay within what f16 has for scales", () => {
    law(`${name} of any magnitude`, cases(-30, 3), 150, (given) => {
      const weights = weightsIn(given)
      const largest = weights.reduce((most, x) => Math.max(most, Math.abs(x)), 0)
      const { error } = quantized(name, weights)
      // No unit of a scale is less than 2^-24; a weight is at most half of the steps of its kind away.
      const coarse = { q8_0: 127, q6_k: 32 * 128, q4_k: 2 * 15 * 63 }[name] * 2 ** -24
      const step = { q8_0: 127, q6_k: 24, q4_k: 12 }[name]
      expect(Math.sqrt(error / weights.length)).toBeLessThanOrEqual(
        Math.max(largest / step, Math.min(largest, coarse)) * 1.000001,
      )
    })
  })

  test("zeros are zeros, and what is constant is that to the digits of f16", async () => {
    expect([...new Set(await decoded(name, quantized(name, new Float32Array(512)).blocks))].map(Math.abs)).toEqual([0])
    for (const constant of [1, -1, 3.7, -211]) {
      const { blocks } = quantized(name, new Float32Array(512).fill(constant))
      for (const y of await decoded(name, blocks)) expect(Math.abs(y / constant - 1)).toBeLessThanOrEqual(2 ** -10)
    }
  })

  test("what is no number, or too large for the scales, is told", () => {
    for (const wrong of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 3e38, -1e9])
      for (const at of [0, 100, 511]) {
        const weights = weightsOf("normal", 3, 1)
        weights[at] = wrong
        expect(quantized(name, weights).error, `${wrong}`).not.toSatisfy(Number.isFinite)
      }
    expect(quantized(name, weightsOf("normal", 3, 1e5)).error).toSatisfy(Number.isFinite)
  })
})

/** Sums of squares by llama.cpp's `quantize_row_q8_0_ref`, `quantize_row_q6_K_ref`, `quantize_row_q4_K_ref` for the weights below. */
const llamaErrors: Record<QuantizedName, number> = { q8_0: 0.000227560737, q6_k: 0.00256414126, q4_k: 0.0414546263 }

test.each(names)("%s is nearer than llama.cpp's quantizer without an importance matrix", (name) => {
  const next = uniform(12345)
  const weights = Float32Array.from({ length: 256 * 64 }, () => (next() + next() + next() + next()) * 0.04)
  const { error } = quantized(name, weights)
  expect(error).toBeLessThan(llamaErrors[name])
  expect(error).toBeGreaterThan(0.9 * llamaErrors[name])
})

/** Plain rounding, each scale by the extremes of its own weights. */
function plainError(name: QuantizedName, weights: Float32Array): number {
  const half = (x: number) => halfNumber(halfBits(x))
  let error = 0
  const round = (x: number, step: number, least: number, most: number) =>
    step === 0 ? 0 : Math.max(least, Math.min(most, Math.round(x / step))) * step
  if (name === "q8_0") {
    for (let at = 0; at < weights.length; at += 32) {
      const part = weights.subarray(at, at + 32)
      const step = half(part.reduce((most, x) => Math.max(most, Math.abs(x)), 0) / 127)
      for (const x of part) error += (x - round(x, step, -127, 127)) ** 2
    }
    return error
  }
  const size = name === "q6_k" ? 16 : 32
  for (let at = 0; at < weights.length; at += 256) {
    const parts = Array.from({ length: 256 / size }, (_, p) => weights.subarray(at + p * size, at + (p + 1) * size))
    if (name === "q6_k") {
      const steps = parts.map((part) => part.reduce((most, x) => (Math.abs(x) > Math.abs(most) ? x : most), 0) / -32)
      const unit = half(steps.reduce((most, x) => (Math.abs(x) > Math.abs(most) ? x : most), 0) / -128)
      parts.forEach((part, p) => {
        for (const x of part) error += (x - round(x, round(steps[p]!, unit, -128, 127), -32, 31)) ** 2
      })
    } else {
      const minima = parts.map((part) => -part.reduce((least, x) => Math.min(least, x), 0))
      const steps = parts.map((part, p) => part.reduce((most, x) => Math.max(most, x + minima[p]!), 0) / 15)
      const [unit, other] = [half(Math.max(...steps) / 63), half(Math.max(...minima) / 63)]
      parts.forEach((part, p) => {
        const [step, minimum] = [round(steps[p]!, unit, 0, 63), round(minima[p]!, other, 0, 63)]
        for (const x of part) error += (x + minimum - round(x + minimum, step, 0, 15)) ** 2
      })
    }
  }
  return error
}

describe("f16", () => {
  test("each of its numbers keeps its bits", () => {
    const all = Array.from({ length: 0x10000 }, (_, bits) => bits).filter((bits) => (bits & 0x7fff) <= 0x7c00)
    expect(all.filter((bits) => halfBits(halfNumber(bits)) !== bits)).toEqual([])
  })
  test("what lies between two is the nearer one, and the even one from the middle", () => {
    const all = Array.from({ length: 0x7bff }, (_, bits) => bits)
    const isRight = (bits: number) => {
      const [low, high] = [halfNumber(bits), halfNumber(bits + 1)]
      const even = bits % 2 === 0 ? bits : bits + 1
      const found = [low + (high - low) * 0.49, (low + high) / 2, -low - (high - low) * 0.51].map(halfBits)
      return found[0] === bits && found[1] === even && found[2] === ((bits + 1) | 0x8000)
    }
    expect(all.filter((bits) => !isRight(bits))).toEqual([])
    expect(halfBits(65_519)).toBe(0x7bff)
    expect(halfBits(65_520)).toBe(0x7c00)
    expect(halfBits(Number.NaN)).toBe(0x7e00)
  })
})
