/** Products of any size as the compiler makes them for matrix units: scheduled by rules, tiled, and through all passes over loops. */
import fc from "fast-check"
import { passed } from "../../compiler/compile-kernels.js"
import { literal, load, mul, reduce, variable, withTable } from "../../compiler/ir/expression.js"
import type { Kernel } from "../../compiler/ir/kernel.js"
import type { Storage } from "../../compiler/ir/loop.js"
import { sum } from "../../compiler/ir/monoid.js"
import { clampAccesses } from "../../compiler/loop/clamp-accesses.js"
import { firstPossible } from "../../compiler/schedule/fallbacks.js"
import { targetFor } from "../../compiler/targets/target.js"
import type { Precision } from "../../runtime/artifact.js"
import { type Case, memoriesOf } from "./product-cases.js"

export interface ChosenShape {
  readonly rows: number
  readonly columns: number
  readonly depth: number
  readonly storage: Storage
  readonly result: "f32" | "bf16"
  /** Whether b is k × n. */
  readonly across: boolean
  readonly capability: 80 | 90
  readonly precision: Precision
  /** The atom that was chosen; none where the product is too small. */
  readonly atom: string
}

const sizes = fc.integer({ min: 1, max: 300 })
export const chosenShapes: fc.Arbitrary<Omit<ChosenShape, "atom">> = fc.record({
  rows: sizes,
  columns: sizes,
  depth: fc.oneof(
    sizes,
    fc.integer({ min: 1, max: 37 }).map((n) => 8 * n),
  ),
  storage: fc.constantFrom("bf16", "f32"),
  result: fc.constantFrom("f32", "bf16"),
  across: fc.boolean(),
  capability: fc.constantFrom(80, 90),
  precision: fc.constantFrom("fast", "exact"),
})

/** y[i, j] = Σ a[i, k] · b[j, k], or b[k, j] */
function kernelOf({ rows, columns, depth, storage, result, across }: Omit<ChosenShape, "atom">): Kernel {
  const at = (name: string, ...axes: readonly string[]) =>
    load(
      name,
      axes.map((a) => variable(a)),
      "f32",
    )
  const b = across ? at("b", "k", "j") : at("b", "j", "k")
  const axis = (name: string, extent: number) => ({ name, extent: literal(extent) })
  return {
    name: "chosen",
    spans: [],
    buffers: [
      { name: "a", dtype: "f32", storage, shape: [rows, depth] },
      { name: "b", dtype: "f32", storage: "bf16", shape: across ? [depth, columns] : [columns, depth] },
      { name: "y", dtype: "f32", storage: result, shape: [rows, columns] },
    ],
    items: [
      {
        kind: "store",
        buffer: "y",
        axes: [axis("i", rows), axis("j", columns)],
        index: [variable("i"), variable("j")],
        value: reduce("k", literal(depth), sum, [mul(at("a", "i", "k"), b)]),
      },
    ],
  }
}

/** Small integers, whose sums are the same however they are added. */
export const chosenCase = (given: Omit<ChosenShape, "atom">, at: number): Case<ChosenShape> =>
  withTable(() => {
    const adapter = { subgroupSize: 32, capability: given.capability }
    const target = targetFor("cuda", adapter, given.precision)
    const found = firstPossible(kernelOf(given), target.schedule, target.tile)
    if ("code" in found) throw new Error(found.why)
    const { loops, unproven } = clampAccesses(passed(found.tiled, target.loopPasses, target, true), [])
    if (unproven.length > 0) throw new Error(`not proven: ${JSON.stringify(given)}`)
    const shape = { ...given, atom: found.schedule.stores[0]!.atom?.name ?? "" }
    return { shape, kernel: loops, memories: memoriesOf(loops, at) }
  })
