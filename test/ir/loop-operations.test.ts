/** The loop interpreter's operations are those of the table, also where it has them at hand. */
import { expect, test } from "vitest"
import { interpretLoop } from "../../compiler/interpret/loop.js"
import { memoryOf } from "../../compiler/interpret/memory.js"
import { apply, fetch, literal, withTable } from "../../compiler/ir/expression.js"
import type { LoopKernel, Statement } from "../../compiler/ir/loop.js"
import { operation, roundTo } from "../../compiler/ir/operations.js"

const edges = {
  f32: [0, -0, 1, -1.5, 3.4028234663852886e38, 1e-45, 16777217, Number.POSITIVE_INFINITY, Number.NaN],
  i32: [0, 1, -1, 2, -7, 65537, 0x7fffffff, -0x80000000],
} as const

const names = ["add", "sub", "mul", "min", "max"] as const
const cases = [
  ...names.flatMap((name) => [[name, "f32"] as const, [name, "i32"] as const]),
  ["div", "f32"] as const,
  ["floordiv", "i32"] as const,
  ["floormod", "i32"] as const,
]

test.each(cases)("%s of %s", (name, dtype) => {
  const indices = name === "floordiv" || name === "floormod"
  for (const a of edges[dtype])
    for (const b of indices ? [1, 2, 7, 65536] : edges[dtype])
      withTable(() => {
        const x = fetch("a", literal(0), dtype)
        const y = indices ? literal(b, dtype) : fetch("b", literal(0), dtype)
        const store: Statement = { kind: "store", array: "y", offset: literal(0), value: apply(name, x, y) }
        const lane: Statement = { kind: "for", variable: "lane", extent: literal(1), bind: "lane", body: [store] }
        const buffer = { dtype, storage: dtype, size: literal(1) }
        const kernel: LoopKernel = {
          name: "one",
          buffers: [
            { name: "a", access: "read", ...buffer },
            { name: "b", access: "read", ...buffer },
            { name: "y", access: "write", ...buffer },
          ],
          symbols: [],
          threads: 1,
          groups: 1,
          body: [{ kind: "for", variable: "group", extent: literal(1), bind: "grid", body: [lane] }],
        }
        const memories = new Map([
          ["a", memoryOf(dtype, [a])],
          ["b", memoryOf(dtype, [b])],
          ["y", memoryOf(dtype, [0])],
        ])
        interpretLoop(kernel, memories, new Map())
        const [p, q] = [memories.get("a")!.values[0]!, memories.get("b")!.values[0]!]
        const expected = roundTo(dtype, operation(name).evaluate(dtype, p, q))
        expect(memories.get("y")!.values[0], `${p}, ${q}`).toBe(dtype === "i32" ? expected | 0 : expected)
      })
})
