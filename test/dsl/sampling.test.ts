/**
 * Sampling against a second way to do it, which sorts: the same filters and the same noise must give the same token.
 *
 * WEFT_RUNS multiplies the cases; the seed is printed when a case fails.
 */
import { beforeAll, describe, expect, test } from "vitest"
import { loadModel } from "../../compiler/frontend/load.js"
import { interpretTensor } from "../../compiler/interpret/tensor.js"
import { literal, withTable } from "../../compiler/ir/expression.js"
import { input, type Tensor } from "../../compiler/ir/tensor.js"
import { createTracing } from "../../compiler/trace/trace.js"
import { withTracing } from "../../dsl/attach.js"
import { mix, samplingFields } from "../../dsl/sampling.js"
import { runs } from "../laws/settings.js"

interface Settings {
  readonly temperature: number
  readonly topK: number
  readonly topP: number
  readonly minP: number
  readonly seedLow: number
  readonly seedHigh: number
  readonly step: number
}
const plain: Settings = { temperature: 1, topK: 0, topP: 1, minP: 0, seedLow: 1, seedHigh: 2, step: 0 }

const view = new DataView(new ArrayBuffer(4))
function bitsOf(x: number): number {
  view.setFloat32(0, x)
  return view.getUint32(0)
}
const f32 = Math.fround

/** The tokens that the filters keep, most likely first, and the draw. */
function bySorting(
  logits: readonly number[],
  s: Settings,
): { readonly kept: readonly number[]; readonly token: number } {
  const largest = Math.max(...logits)
  const scaled = logits.map((x) => f32(f32(x - largest) / f32(s.temperature)))
  const order = scaled.map((_, i) => i).sort((a, b) => scaled[b]! - scaled[a]! || a - b)
  const first = s.topK === 0 ? order : order.slice(0, s.topK)
  const weight = (i: number) => f32(Math.exp(scaled[i]!))
  const goal = f32(f32(s.topP) * f32(first.reduce((sum, i) => sum + weight(i), 0)))
  let mass = 0
  const second =
    s.topP >= 1
      ? first
      : first.filter((i, rank) => {
          const before = mass
          mass += weight(i)
          return rank === 0 || before < goal
        })
  const kept = second.filter((i) => weight(i) >= Math.min(f32(s.minP), 1))
  const low = mix(s.seedLow ^ mix(s.step ^ 0x9e3779b9)) >>> 0
  const high = mix(s.seedHigh ^ mix(low ^ 0x85ebca6b)) >>> 0
  const score = (i: number) => {
    const u = ((mix(mix(i ^ low) ^ high) >>> 0) + 0.5) / 2 ** 32
    return scaled[i]! - Math.log(-Math.log1p(-u))
  }
  return { kept, token: kept.reduce((best, i) => (score(i) > score(best) ? i : best)) }
}

/** mulberry32: numbers in [0, 1). */
function random(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    const a = Math.imul(state ^ (state >>> 15), 1 | state)
    const b = (a + Math.imul(a ^ (a >>> 7), 61 | a)) ^ a
    return ((b ^ (b >>> 14)) >>> 0) / 2 ** 32
  }
}

interface Chosen {
  readonly sampled: number
  /** Without top-k and top-p. */
  readonly drawn: number
  readonly greedy: number
}
type Choose = (logits: readonly number[], settings: Settings) => Chosen
let chooser: (vocabulary: number, digitBits?: number) => Choose

beforeAll(async () => {
  const { module } = await loadModel("dsl/sampling.ts")
  const sampleToken = module.sampleToken as (logits: Tensor, sampling: Tensor) => Tensor
  const drawToken = module.drawToken as (logits: Tensor, sampling: Tensor) => Tensor
  const greedyToken = module.greedyToken as (logits: Tensor) => Tensor
  chooser = (vocabulary, digitBits = 2) =>
    withTable(() => {
      const logits = input("logits", "input", [{ name: "vocab", extent: literal(vocabulary) }], "f32", "f32", [
        vocabulary,
      ])
      const count = samplingFields.length
      const sampling = input("sampling", "input", [{ name: "field", extent: literal(count) }], "u32", "u32", [count])
      const roots = withTracing(createTracing(undefined, { digitBits }), () => [
        sampleToken(logits, sampling),
        drawToken(logits, sampling),
        greedyToken(logits),
      ])
      return (values, s) => {
        const bits = { ...s, temperature: bitsOf(s.temperature), topP: bitsOf(s.topP), minP: bitsOf(s.minP) }
        const words = samplingFields.map((field) => bits[field])
        const [sampled, drawn, greedy] = interpretTensor(
          roots,
          new Map([
            [
              "logits",
              { axes: [{ name: "vocab", extent: vocabulary }], dtype: "f32" as const, data: Float64Array.from(values) },
            ],
            [
              "sampling",
              { axes: [{ name: "field", extent: count }], dtype: "u32" as const, data: Float64Array.from(words) },
            ],
          ]),
          new Map(),
        )
        return { sampled: sampled!.data[0]!, drawn: drawn!.data[0]!, greedy: greedy!.data[0]! }
      }
    })
})

describe("the filters and the draw", () => {
  const cases = runs(60)
  test.each([1, 2, 7, 64, 97, 1000])("%i tokens, smooth and with ties", (vocabulary) => {
    const choose = chooser(vocabulary)
    for (let run = 0; run < cases; run++) {
      const seed = vocabulary * 10_000 + run
      const next = random(seed)
      const pick = <T>(values: readonly T[]): T => values[Math.floor(next() * values.length)]!
      const tied = next() < 0.4
      const logits = Array.from({ length: vocabulary }, () =>
        tied ? Math.floor(next() * 7) - 3 : f32(next() * 12 - 6),
      )
      const settings: Settings = {
        temperature: pick([0.3, 0.6, 1, 2]),
        topK: pick([0, 1, 2, 20, vocabulary, 2 * vocabulary]),
        topP: pick([1, 0.95, 0.5, 0.1, 0]),
        minP: pick([0, 0, 0.05, 0.5, 1, 2]),
        seedLow: Math.floor(next() * 2 ** 32),
        seedHigh: Math.floor(next() * 2 ** 32),
        step: run,
      }
      const { sampled, drawn, greedy } = choose(logits, settings)
      expect(sampled, `seed ${seed}: ${JSON.stringify(settings)}`).toBe(bySorting(logits, settings).token)
      const all = { ...settings, topK: 0, topP: 1 }
      expect(drawn, `seed ${seed}: ${JSON.stringify(all)}`).toBe(bySorting(logits, all).token)
      expect(greedy, `seed ${seed}`).toBe(logits.indexOf(Math.max(...logits)))
    }
  })

  test.each([1, 4, 8])("digits of %i bits choose as digits of 2 bits do", (digitBits) => {
    const [narrow, wide] = [chooser(700), chooser(700, digitBits)]
    for (let step = 0; step < cases / 10; step++) {
      const next = random(step)
      // Ties that go on from part to part, and signs and sizes of all kinds.
      const logits = Array.from({ length: 700 }, () =>
        f32(Math.round(next() * 6 - 3) * 10 ** Math.floor(next() * 5 - 2)),
      )
      const settings = { ...plain, temperature: 0.7, topK: Math.floor(next() * 400), topP: f32(next()), step }
      expect(wide(logits, settings), `step ${step}`).toEqual(narrow(logits, settings))
    }
  })

  test("top-k keeps exactly k, the lowest tokens first on ties", () => {
    const choose = chooser(16)
    const drawn = new Set(
      Array.from({ length: 200 }, (_, step) => choose(Array(16).fill(1), { ...plain, topK: 3, step }).sampled),
    )
    expect([...drawn].sort()).toEqual([0, 1, 2])
  })

  test("the token that crosses p stays", () => {
    const logits = [Math.log(0.5), Math.log(0.3), Math.log(0.2)].map(f32)
    const choose = chooser(3)
    const drawn = (topP: number) =>
      new Set(Array.from({ length: 200 }, (_, step) => choose(logits, { ...plain, topP, step }).sampled)).size
    expect([0.49, 0.51, 0.79, 0.81].map(drawn)).toEqual([1, 2, 2, 3])
  })
})

test("draws follow the softmax", () => {
  const chances = [0.4, 0.3, 0.15, 0.1, 0.05]
  const choose = chooser(5)
  const draws = 4000
  const counts = new Array<number>(5).fill(0)
  for (let step = 0; step < draws; step++)
    counts[
      choose(
        chances.map((p) => f32(Math.log(p))),
        { ...plain, step },
      ).sampled
    ]!++
  const chiSquare = chances.reduce((sum, p, i) => sum + (counts[i]! - p * draws) ** 2 / (p * draws), 0)
  expect(chiSquare).toBeLessThan(18.47) // the 0.1 % point for 4 degrees of freedom
})

test("a logit that is not finite gives −1", () => {
  const choose = chooser(4)
  for (const broken of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])
    expect(choose([1, broken, 0, 2], plain)).toEqual({ sampled: -1, drawn: -1, greedy: -1 })
})
