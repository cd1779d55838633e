/**
 * A fold inside of each element of another is taken by vectors along its own axis, and the outer one by vectors along its, or short sums of words side by
 * side.
 */
import { expect, test } from "vitest"
import { compileKernel } from "../../compiler/compile-kernels.js"
import { interpretLoop } from "../../compiler/interpret/loop.js"
import { type Memory, memoryOf } from "../../compiler/interpret/memory.js"
import {
  add,
  apply,
  literal,
  load,
  mul,
  reduce,
  symbol,
  variable,
  walk,
  withTable,
} from "../../compiler/ir/expression.js"
import type { Kernel, KernelBuffer } from "../../compiler/ir/kernel.js"
import { everyStatement, expressionsOf } from "../../compiler/ir/loop-visit.js"
import { type Monoid, max, sum } from "../../compiler/ir/monoid.js"
import { chooseSchedule } from "../../compiler/schedule/choose.js"
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

/** y[o, s] = Σ_g a[o, g] · b[s, g] · Σ_l dot2(w[o, 4 g + l], x[s, 4 g + l]), over as many rows s as a run decides. */
function rowsOfWords(outputs: number, most: number, groups: number): Kernel {
  const at = add(mul($("g"), literal(4)), $("l"))
  const dots = apply("dot2", load("w", [$("o"), at], "u32"), load("x", [$("s"), at], "u32"))
  const scale = mul(load("a", [$("o"), $("g")], "f32"), load("b", [$("s"), $("g")], "f32"))
  const codes = apply("toF32", reduce("l", literal(4), sum, [dots]))
  const value = reduce("g", literal(groups), sum, [mul(scale, codes)])
  const words = (name: string, rows: number): KernelBuffer => ({
    name,
    dtype: "u32",
    storage: "u32",
    shape: [rows, 4 * groups],
  })
  const scales = [array("a", [outputs, groups]), array("b", [most, groups])]
  const buffers = [array("y", [outputs, most]), ...scales, words("w", outputs), words("x", most)]
  const axes = [
    { name: "o", extent: literal(outputs) },
    { name: "s", extent: symbol("rows", most, most) },
  ]
  const index = [$("o"), $("s")]
  return { name: "words", buffers, spans: [], items: [{ kind: "store", buffer: "y", axes, index, value }] }
}

test.each([
  [32, 4],
  [33, 1],
])("sums of words side by side along rows: of 4 × %s words %s at once", (groups, vector) =>
  withTable(() => {
    const [outputs, most] = [8, 16]
    const kernel = rowsOfWords(outputs, most, groups)
    expect(chooseSchedule(kernel, wasm.schedule).stores[0]!.tile).toMatchObject({ s: { vector } })
    const { loops } = compileKernel(kernel, wasm, { verify: true })
    for (const rows of [1, 4, 10, 16]) {
      const half = (i: number) => ((i * 7) % 255) - 127
      const words = (n: number, from: number) =>
        Float64Array.from({ length: n }, (_, i) => ((half(i + from) & 0xffff) | (half(3 * i + from) << 16)) >>> 0)
      const [w, x] = [words(outputs * groups * 4, 1), words(most * groups * 4, 5)]
      const whole = (n: number) => Float64Array.from({ length: n }, (_, i) => (i % 3) - 1)
      const [a, b] = [whole(outputs * groups), whole(most * groups)]
      const floats = [new Float64Array(outputs * most), a, b].map((data) => memoryOf("f32", data))
      const all = [...floats, memoryOf("u32", w), memoryOf("u32", x)]
      const memories = new Map<string, Memory>(all.map((m, i) => [loops.buffers[i]!.name, m]))
      interpretLoop(loops, memories, new Map([["rows", rows]]))
      const halves = (word: number) => [(word << 16) >> 16, word >> 16]
      const wanted = Array.from({ length: outputs * most }, (_, i) => {
        const [o, s] = [Math.floor(i / most), i % most]
        let total = 0
        for (let k = 0; s < rows && k < 4 * groups; k++) {
          const [mine, other] = [halves(w[o * 4 * groups + k]!), halves(x[s * 4 * groups + k]!)]
          const g = Math.floor(k / 4)
          total += a[o * groups + g]! * b[s * groups + g]! * (mine[0]! * other[0]! + mine[1]! * other[1]!)
        }
        return total
      })
      expect([...memories.get(loops.buffers[0]!.name)!.values].map((v) => v + 0)).toEqual(wanted.map((v) => v + 0))
    }
  }),
)
