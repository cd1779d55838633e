/** Which folds are taken in runs, and what the loops of such look like. */
import { describe, expect, test } from "vitest"
import { apply, literal, load, reduce, symbol, variable, withTable } from "../../compiler/ir/expression.js"
import type { Kernel } from "../../compiler/ir/kernel.js"
import { type Monoid, max, sum } from "../../compiler/ir/monoid.js"
import type { Expression, Reduce } from "../../compiler/ir/nodes.js"
import type { DType } from "../../compiler/ir/operations.js"
import { printLoop } from "../../compiler/ir/print/loop.js"
import type { ReductionTile } from "../../compiler/ir/schedule.js"
import { clean } from "../../compiler/loop/clean.js"
import { wasmTarget } from "../../compiler/targets/target.js"
import { isRefusal, tile } from "../../compiler/tile/tile.js"

function kernelOf(extent: Expression, monoid: Monoid = sum, dtype: DType = "f32", capacity = 1 << 20): Kernel {
  const storage = dtype as "f32" | "i32"
  return {
    name: "long",
    buffers: [
      { name: "x", dtype, storage, shape: [capacity] },
      { name: "y", dtype, storage, shape: [1] },
    ],
    items: [
      {
        kind: "store",
        buffer: "y",
        axes: [],
        index: [literal(0)],
        value: reduce("k", extent, monoid, [load("x", [variable("k")], dtype)]),
      },
    ],
    spans: [],
  }
}

function textOf(kernel: Kernel, fold: ReductionTile = {}): string {
  const made = tile(kernel, { threads: 1, stores: [{ tile: {}, reduce: { k: fold } }], locals: {} }, wasmTarget.tile)
  return isRefusal(made) ? `${made.code}: ${made.why}` : printLoop(clean(made))
}

const inRuns = (text: string) => text.includes("runs_")

/** The fold of what is read only where a condition holds. */
function guarded(kernel: Kernel): Kernel {
  const [item] = kernel.items
  const { axis, extent, monoid, lift } = item!.value as Reduce
  const inside = apply("lt", variable(axis), literal(4096))
  const value = reduce(axis, extent, monoid, [apply("select", inside, lift[0]!, literal(0, "f32"))])
  return { ...kernel, items: [{ ...item!, value }] }
}

describe("runs", () => {
  test.each<[string, () => Kernel, boolean]>([
    ["4,096 elements", () => kernelOf(literal(4096)), false],
    ["4,097 elements", () => kernelOf(literal(4097)), true],
    ["a symbol up to 4,096", () => kernelOf(symbol("n", 4096, 16)), false],
    ["a symbol up to 4,097, whatever its hint", () => kernelOf(symbol("n", 4097, 16)), true],
    ["memory for 4,096, whatever the symbols say", () => kernelOf(symbol("n", 9999, 16), sum, "f32", 4096), false],
    ["such memory behind a condition", () => guarded(kernelOf(symbol("n", 9999, 16), sum, "f32", 4096)), true],
    ["the least of two extents", () => kernelOf(apply("min", symbol("n", 9999, 16), literal(64))), false],
    ["integers", () => kernelOf(literal(9999), sum, "i32"), false],
    ["a maximum", () => kernelOf(literal(9999), max), false],
    ["a part of a long fold", () => ({ ...kernelOf(literal(64)), long: ["k"] }), true],
  ])("%s", (_, kernel, expected) => {
    withTable(() => expect(inRuns(textOf(kernel()))).toBe(expected))
  })

  test("are of 8 turns, or of fewer where the schedule says so, and never of more", () => {
    withTable(() => {
      const text = textOf(kernelOf(literal(8192)))
      expect(text).toContain("k_run_0 < 1024")
      expect(textOf(kernelOf(literal(8192)), { run: 4 })).toContain("k_run_0 < 2048")
      expect(textOf(kernelOf(literal(8192)), { run: 16 })).toBe(
        "reduce/run: runs of 16 of 'k' lose digits; 8 is the most",
      )
      expect(textOf(kernelOf(literal(64)), { run: 16 })).toContain("k_run_0 < 4")
    })
  })

  test("hold for every fold of a chain, whichever of its axes is taken in chunks", () => {
    withTable(() => {
      const inner = reduce("b", literal(66), sum, [load("x", [variable("k"), variable("b")], "f32")])
      const [store] = kernelOf(literal(67)).items
      const chain = (outer: Expression): Kernel => ({
        ...kernelOf(literal(67)),
        buffers: [
          { name: "x", dtype: "f32", storage: "f32", shape: [128, 66] },
          { name: "y", dtype: "f32", storage: "f32", shape: [1] },
        ],
        items: [{ ...store!, value: reduce("k", outer, sum, [inner]) }],
      })
      expect(textOf(chain(literal(67)), { chunk: 1, run: 1 })).toContain("b_run_0 < 9")
      expect(textOf(chain(literal(62)), { chunk: 1 })).not.toContain("b_run")
      expect(textOf(chain(literal(67)), { chunk: 16, innerUnroll: 2 })).toBe(
        "reduce/run: steps of 2 of 'k' lose digits; 1 is the most",
      )
    })
  })

  test("one is merged with those whose bits are set, and kept at the first that is not", () => {
    withTable(() =>
      expect(textOf(kernelOf(literal(8192)))).toMatchInlineSnapshot(`
      "kernel long(x: f32 [1048576] read, y: f32 [1] write)
      threads 1, groups 1
      for group < 1 grid {
        for lane < 1 lane {
          var k_0: f32 = 0.0
          var runs_0: i32 = 0
          register level_0: f32[11]
          for k_run_0 < 1024 serial {
            var k_2: f32 = 0.0
            for k_1 < 8 serial {
              k_2 = (k_2 + x[((k_run_0 * 8) + k_1)])
            }
            let done_0: i32 = (runs_0 + 1)
            let free_0: i32 = (toI32((bits(toF32((done_0 & neg(done_0)))) >> 23)) + -127)
            for level_2 < free_0 serial {
              k_2 = (level_0[level_2] + k_2)
            }
            level_0[free_0] = k_2
            runs_0 = done_0
          }
          for level_1 < (toI32((bits(toF32(runs_0)) >> 23)) + -126) serial {
            if (((runs_0 >> level_1) & 1) == 1) {
              k_0 = (level_0[level_1] + k_0)
            }
          }
          y[0] = k_0
        }
      }"
    `),
    )
  })
})
