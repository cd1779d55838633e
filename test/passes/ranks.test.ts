/** Of several ranks a lane keeps as many as it has elements: as many as it takes side by side, however few there are for all lanes. */
import { expect, test } from "vitest"
import { interpretLoop } from "../../compiler/interpret/loop.js"
import { type Memory, memoryOf } from "../../compiler/interpret/memory.js"
import { apply, component, literal, load, reduce, variable, withTable } from "../../compiler/ir/expression.js"
import type { Kernel } from "../../compiler/ir/kernel.js"
import { top } from "../../compiler/ir/monoid.js"
import type { Reduce } from "../../compiler/ir/nodes.js"
import type { ReductionTile } from "../../compiler/ir/schedule.js"
import { isRefusal, tile } from "../../compiler/tile/tile.js"

/** y[a] = the place of the element of x[a, …] that has rank a mod 3. */
function kernel(extent: number): Kernel {
  const at = variable("a")
  const lift = [load("x", [at, variable("r")], "f32"), variable("r")]
  const fold = reduce("r", literal(extent), top(3), lift) as Reduce
  const value = apply("toF32", component(fold, 1, apply("floormod", at, literal(3))))
  return {
    name: "ranks",
    spans: [],
    buffers: [
      { name: "y", dtype: "f32", storage: "f32", shape: [6] },
      { name: "x", dtype: "f32", storage: "f32", shape: [6, extent] },
    ],
    items: [{ kind: "store", buffer: "y", axes: [{ name: "a", extent: literal(6) }], index: [at], value }],
  }
}

const tiles: readonly ReductionTile[] = [
  {},
  { innerUnroll: 8 },
  { innerUnroll: 3 },
  { vector: 4, innerUnroll: 2, run: 3 },
]

test.each([5, 8, 13, 40])("the three largest of %s, in any schedule", (extent) =>
  withTable(() => {
    const x = Float64Array.from({ length: 6 * extent }, (_, i) => (i * 7) % 11)
    const wanted = Array.from({ length: 6 }, (_, a) => {
      const row = [...x.subarray(a * extent, (a + 1) * extent)].map((value, at) => ({ value, at }))
      return row.sort((p, q) => q.value - p.value || p.at - q.at)[a % 3]!.at
    })
    let tried = 0
    for (const group of [undefined, 2, 4, 8])
      for (const own of tiles) {
        const reduceTile = group === undefined ? own : { ...own, group }
        const stores = [{ tile: { a: { block: "all" as const } }, reduce: { r: reduceTile } }]
        const options = { maxGroups: 2, sharedBytes: 1 << 20 }
        const made = tile(kernel(extent), { threads: 32, subgroup: 8, stores, locals: {} }, options)
        if (isRefusal(made)) continue
        tried++
        const memories = new Map<string, Memory>([
          ["y", memoryOf("f32", new Float64Array(6))],
          ["x", memoryOf("f32", x)],
        ])
        interpretLoop(made, memories, new Map())
        expect([...memories.get("y")!.values], JSON.stringify(reduceTile)).toEqual(wanted)
      }
    expect(tried).toBeGreaterThan(8)
  }),
)
