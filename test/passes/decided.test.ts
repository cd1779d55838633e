/** What a fold has decided is not asked again, but where values are read: loops evaluate both sides of a select. */

import { expect, test } from "vitest"
import { compileKernel } from "../../compiler/compile-kernels.js"
import { interpretLoop } from "../../compiler/interpret/loop.js"
import { memoryOf } from "../../compiler/interpret/memory.js"
import { apply, literal, load, reduce, variable, withTable } from "../../compiler/ir/expression.js"
import type { Kernel } from "../../compiler/ir/kernel.js"
import { sum } from "../../compiler/ir/monoid.js"
import type { Expression } from "../../compiler/ir/nodes.js"
import { printKernel } from "../../compiler/ir/print/kernel.js"
import { decided } from "../../compiler/kernel/decided.js"
import { webgpuTarget } from "../../compiler/targets/target.js"

/** y[s] is the sum of the row of x before s, where there is one: asked of the sum, of the value and of its place. */
function rowBefore(): Kernel {
  const before = apply("sub", variable("s"), literal(1))
  const there = (x: Expression, otherwise: Expression = literal(0, "f32")) =>
    apply("select", apply("ge", before, literal(0)), x, otherwise)
  const value = load("x", [there(before, literal(0)), variable("a")], "f32")
  const asked = there(apply("neg", there(value)))
  const s = { name: "s", extent: literal(3) }
  return {
    name: "rowBefore",
    buffers: [
      { name: "y", dtype: "f32", storage: "f32", shape: [3] },
      { name: "x", dtype: "f32", storage: "f32", shape: [3, 4] },
    ],
    items: [
      { kind: "store", buffer: "y", axes: [s], index: [variable("s")], value: reduce("a", literal(4), sum, [asked]) },
    ],
    spans: [],
  }
}

test("a place is asked again", () =>
  withTable(() => {
    const kernel = decided(rowBefore())
    expect(printKernel(kernel)).toContain(
      "select(((s + -1) >= 0), neg(x[select(((s + -1) >= 0), (s + -1), 0), a]), 0.0)",
    )
    const memories = new Map([
      ["y", memoryOf("f32", [9, 9, 9])],
      ["x", memoryOf("f32", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])],
    ])
    interpretLoop(compileKernel(kernel, webgpuTarget, { verify: true }).loops, memories, new Map())
    expect([...memories.get("y")!.values]).toEqual([0, -10, -26])
  }))
