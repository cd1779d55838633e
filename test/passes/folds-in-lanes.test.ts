/** A fold inside of each element of another is taken by vectors along its own axis, and the outer one by vectors along its. */
import { expect, test } from "vitest"
import { compileKernel } from "../../compiler/compile-kernels.js"
import { interpretLoop } from "../../compiler/interpret/loop.js"
import { type Memory, memoryOf } from "../../compiler/interpret/memory.js"
import { add, apply, literal, load, mul, reduce, variable, walk, withTable } from "../../compiler/ir/expression.js"
import type { Kernel, KernelBuffer } from "../../compiler/ir/kernel.js"
import { everyStatement, expressionsOf } from "../../compiler/ir/loop-visit.js"
import { type Monoid, max, sum } from "../../compiler/ir/monoid.js"
import { targetFor } from "../../compiler/targets/target.js"

const wasm = targetFor("wasm", undefined, "fast")
const $ = (name: string) => variable(name)
const array = (name: string, shape: readonly number[]): KernelBuffer => ({ name, dtype: "f32", storage: "f32", shape })

/** y[o] = Σ_g s[g] · (x[g, 0] · w[o, g, 0] ∘ … ∘ x[g, lanes − 1] · w[o, g, lanes − 1]), all of a row in one axis. */
function kernel(outputs: number, groups: number, lanes: number, monoid: Monoid): Kernel {
  const at = add(mul($("g"), literal(lanes)), $("l"))
  const product = apply("mul", load("x", [at], "f32"), load("w", [$("o"), at], "f32"))
  const inner = reduce("l", literal(lanes), monoid, [product])
  const value = reduce("g", literal(groups), sum, [apply("mul", load("s", [$("g")], "f32"), inner)])
  const buffers = [
    array("y", [outputs]),
    array("s", [groups]),
    array("x", [groups * lanes]),
    array("w", [outputs, groups * lanes]),
  ]
  const axes = [{ name: "o", extent: literal(outputs) }]
  return { name: "many", buffers, spans: [], items: [{ kind: "store", buffer: "y", axes, index: [$("o")], value }] }
}

test.each([
  [8, 4, sum, [4]],
  [6, 4, sum, [4]],
  [8, 4, max, [4]],
  [8, 3, sum, [1]],
] as const)("%s times %s elements", (groups, lanes, monoid, widths) =>
  withTable(() => {
    const outputs = 16
    const { loops } = compileKernel(kernel(outputs, groups, lanes, monoid), wasm, { verify: true })
    const found = new Set<number>()
    for (const s of everyStatement(loops.body))
      for (const root of expressionsOf(s))
        walk(root, (x) => {
          if (x.kind === "fetch" && x.array === loops.buffers[3]!.name) found.add(x.width)
        })
    expect([...found]).toEqual(widths)
    const whole = (n: number, step: number) => Float64Array.from({ length: n }, (_, i) => ((i * step) % 13) - 6)
    const [s, x, w] = [whole(groups, 5), whole(groups * lanes, 7), whole(outputs * groups * lanes, 11)]
    const memories = new Map<string, Memory>(
      [new Float64Array(outputs), s, x, w].map((data, i) => [loops.buffers[i]!.name, memoryOf("f32", data)]),
    )
    interpretLoop(loops, memories, new Map())
    const wanted = Array.from({ length: outputs }, (_, o) => {
      let total = 0
      for (let g = 0; g < groups; g++) {
        const products = Array.from({ length: lanes }, (_, l) => {
          const at = g * lanes + l
          return x[at]! * w[o * groups * lanes + at]!
        })
        total += s[g]! * products.reduce((a, b) => (monoid === sum ? a + b : Math.max(a, b)))
      }
      return total
    })
    expect([...memories.get(loops.buffers[0]!.name)!.values]).toEqual(wanted)
  }),
)
