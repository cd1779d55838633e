/** How values lie in memory between kernels: rows of an odd number of halves need a machine that stores one alone. */
import { describe, expect, test } from "vitest"
import { literal, withTable } from "../../compiler/ir/expression.js"
import { sum } from "../../compiler/ir/monoid.js"
import * as ir from "../../compiler/ir/tensor.js"
import { anyAdapter, cudaMachine, wasmMachine } from "../../compiler/targets/machines.js"
import { scratchStorage, stateStorage } from "../../compiler/tensor/storage.js"

const machines = { webgpu: anyAdapter, wasm: wasmMachine, cuda: cudaMachine }
const grows = { extent: 64, grows: true }

describe.each(Object.entries(machines))("with precision fast, %s", (name, { tile }) => {
  const odd = name === "cuda" ? "bf16" : "f32"
  test.each([
    ["rows of an even number", [grows, { extent: 8, grows: false }], "bf16"],
    ["rows of an odd number", [grows, { extent: 7, grows: false }], odd],
    ["rows that grow", [{ extent: 8, grows: false }, grows], odd],
    ["what does not grow", [{ extent: 7, grows: false }], "f32"],
  ] as const)("a state: %s", (_, axes, storage) => {
    expect(stateStorage({ axes, dtype: "f32" }, "fast", tile)).toBe(storage)
    expect(stateStorage({ axes, dtype: "f32" }, "exact", tile)).toBe("f32")
    expect(stateStorage({ axes, dtype: "i32" }, "fast", tile)).toBe("i32")
  })

  test.each([
    [32, "bf16"],
    [33, odd],
    [7, "f32"],
  ] as const)("rows of %i between kernels", (extent, wanted) =>
    withTable(() => {
      const axis = (name: string, n: number) => ({ name, extent: literal(n) })
      const [row, column, again] = [axis("row", 5), axis("column", extent), axis("again", 3)]
      const x = ir.input("x", "input", [row, column, again], "f32", "f32", [5, extent, 3])
      const between = ir.reduce(sum, "again", [x])
      const storage = scratchStorage([ir.reduce(sum, "column", [between])], "fast", tile)
      expect(storage(between)).toBe(wanted)
    }),
  )
})
