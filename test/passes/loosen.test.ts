/** Which online folds may lose NaN in their pivots: those whose pivots are no part of a result. */
import { expect, test } from "vitest"
import {
  apply,
  component,
  literal,
  load,
  mul,
  reduce,
  variable,
  walk,
  withTable,
} from "../../compiler/ir/expression.js"
import type { Kernel, KernelBuffer, Store } from "../../compiler/ir/kernel.js"
import { monoidKey, onlineMonoid } from "../../compiler/ir/monoid.js"
import type { Expression, Reduce } from "../../compiler/ir/nodes.js"
import { printLoop } from "../../compiler/ir/print/loop.js"
import { loosen } from "../../compiler/kernel/loosen.js"
import { splitReductions } from "../../compiler/kernel/split-reductions.js"
import { chooseSchedule } from "../../compiler/schedule/choose.js"
import { wasmTarget } from "../../compiler/targets/target.js"
import { isRefusal, tile } from "../../compiler/tile/tile.js"

const f32 = (name: string, ...shape: number[]): KernelBuffer => ({ name, dtype: "f32", storage: "f32", shape })
const row = { name: "row", extent: literal(4) }

/** Σ exp(s − max s) and Σ exp(s − max s) · v over 8,192 keys, and what a store makes of them. */
const fold = () => {
  const [r, k] = [variable("row"), variable("key")]
  const score = mul(load("s", [r, k], "f32"), literal(0.5, "f32"))
  const lift = [score, literal(1, "f32"), load("v", [k], "f32")]
  return reduce("key", literal(8192), onlineMonoid("exp", 2), lift) as Reduce
}
const store = (buffer: string, value: Expression): Store => ({
  kind: "store",
  buffer,
  axes: [row],
  index: [variable("row")],
  value,
})
const kernelOf = (...values: Expression[]): Kernel => ({
  name: "k",
  buffers: [f32("s", 4, 8192), f32("v", 8192), ...values.map((_, i) => f32(`y${i}`, 4))],
  items: values.map((v, i) => store(`y${i}`, v)),
  spans: [],
})
const monoidsOf = (kernel: Kernel) => {
  const found = new Set<string>()
  for (const { value } of kernel.items) walk(value, (x) => x.kind === "reduce" && found.add(monoidKey(x.monoid)))
  return [...found]
}
const whole = (f: Reduce, i: number) => apply("sub", component(f, i), apply("sub", f, f))

test("a share reads no pivot, and a sum as a whole reads it for itself", () =>
  withTable(() => {
    const f = fold()
    expect(monoidsOf(loosen(kernelOf(apply("div", component(f, 2), component(f, 1)))))).toEqual([
      "loose online(exp, 2)",
    ])
    expect(monoidsOf(loosen(kernelOf(apply("div", whole(f, 2), whole(f, 1)))))).toEqual(["loose online(exp, 2)"])
  }))

test("a pivot that is a result, or part of one, keeps NaN, wherever in the kernel it is read", () =>
  withTable(() => {
    const f = fold()
    for (const values of [
      [apply("add", f, apply("log", whole(f, 1)))],
      [whole(f, 1), f],
      [apply("sub", component(f, 1), apply("sub", f, literal(1, "f32")))],
      [apply("sub", apply("sub", f, f), component(f, 1))],
    ])
      expect(monoidsOf(loosen(kernelOf(...values)))).toEqual(["online(exp, 2)"])
  }))

test("loops of a loose fold have no maximum that keeps NaN", () =>
  withTable(() => {
    const f = fold()
    const text = (kernel: Kernel) => {
      const loops = tile(kernel, chooseSchedule(kernel, wasmTarget.schedule), wasmTarget.tile)
      if (isRefusal(loops)) throw new Error(loops.why)
      return printLoop(loops)
    }
    const given = kernelOf(apply("div", whole(f, 2), whole(f, 1)))
    expect(text(given)).toMatch(/ max\(/)
    expect(text(loosen(given))).not.toMatch(/ max\([^0]/)
  }))

test("parts of a loose fold are loose", () =>
  withTable(() => {
    const f = fold()
    const kernel = loosen(kernelOf(apply("div", whole(f, 2), whole(f, 1))))
    const step = { kind: "kernel" as const, kernel, bindings: ["s", "v", "y0"], computes: [] }
    const fused = splitReductions({ steps: [step], buffers: new Map() } as never, { busy: 512, parts: 16, least: 64 })
    const kernels = fused.steps.flatMap((s) => (s.kind === "kernel" ? [s.kernel] : []))
    expect(kernels.length).toBe(2)
    for (const k of kernels) expect(monoidsOf(k).filter((m) => !m.startsWith("loose"))).toEqual([])
  }))
