/** Elements that share a word are stored together, wherever in a row they begin. */
import { expect, test } from "vitest"
import { add, literal, load, mul, reduce, variable, withTable } from "../../compiler/ir/expression.js"
import type { Kernel, KernelBuffer, Store } from "../../compiler/ir/kernel.js"
import { sum } from "../../compiler/ir/monoid.js"
import { firstPossible } from "../../compiler/schedule/fallbacks.js"
import { webgpuTarget } from "../../compiler/targets/target.js"

/** y[row, first + o] = Σ_k(x[row, k] · w[o, k]) in bf16, for the first `first` columns and for those behind them. */
function inParts(first: number): Kernel {
  const buffer = (name: string, storage: "f32" | "bf16", shape: number[]): KernelBuffer => ({
    name,
    dtype: "f32",
    storage,
    shape,
  })
  const part = (name: string, count: number, before: number): Store => {
    const [row, o, k] = [`row${name}`, `o${name}`, `k${name}`]
    const product = mul(load("x", [variable(row), variable(k)], "f32"), load(name, [variable(o), variable(k)], "f32"))
    return {
      kind: "store",
      axes: [
        { name: row, extent: literal(4) },
        { name: o, extent: literal(count) },
      ],
      index: [variable(row), add(variable(o), literal(before))],
      value: reduce(k, literal(64), sum, [product]),
      buffer: "y",
    }
  }
  return {
    name: "parts",
    items: [part("a", first, 0), part("b", 64 - first, first)],
    buffers: [
      buffer("x", "f32", [4, 64]),
      buffer("a", "f32", [first, 64]),
      buffer("b", "f32", [64 - first, 64]),
      buffer("y", "bf16", [4, 64]),
    ],
    spans: [],
  }
}

const refusal = (first: number) =>
  withTable(() => {
    const found = firstPossible(inParts(first), webgpuTarget.schedule, webgpuTarget.tile)
    return "code" in found ? found.code : undefined
  })

test("behind an even number of elements words are whole", () => expect(refusal(32)).toBeUndefined())
test("behind an odd number they are not", () => expect(refusal(31)).toBe("store/packed"))
