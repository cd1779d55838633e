import { expect, test } from "vitest"
import { interpretKernel } from "../../compiler/interpret/kernel.js"
import { add, apply, literal, load, reduce, variable, withTable } from "../../compiler/ir/expression.js"
import type { Kernel, KernelBuffer } from "../../compiler/ir/kernel.js"
import { sum } from "../../compiler/ir/monoid.js"
import type { Expression } from "../../compiler/ir/nodes.js"
import { printKernel } from "../../compiler/ir/print/kernel.js"
import { loadedIn } from "../../compiler/ir/query.js"
import { verifyKernel } from "../../compiler/ir/verify/kernel.js"
import { merged } from "../../compiler/kernel/merge-folds.js"
import { Choices, decisions } from "./choices.js"
import { drawsOf, hunt } from "./hunt.js"
import { kernelMemories } from "./kernel-memories.js"
import { copied, effectOf, LawBroken, wrongEffect } from "./loops.js"
import { law, patience, runs } from "./settings.js"

/** A sum over two to four axes of products of two or three buffers, whose axes mostly lie in one order, or are counted through. */
function kernelFrom(numbers: readonly number[]): Kernel {
  const choose = new Choices(numbers)
  const folded = ["i", "j", "k", "l"].slice(0, 2 + choose.below(3))
  const extents = new Map(["o", ...folded].map((name) => [name, choose.of([2, 3, 1, 4])] as const))
  extents.set("unit", 1)
  const between = choose.chance(30)
  const buffers: KernelBuffer[] = []
  // What counts all elements in their order, as words of packed ones do; now and then by a stride of another.
  const flat = () =>
    folded.reduce<Expression>((sum, name) => {
      const extent = extents.get(name)! + (choose.chance(5) ? 1 : 0)
      return add(apply("mul", sum, literal(extent)), variable(name))
    }, literal(0))
  const counted = (n: number): Expression => {
    const by = literal(choose.of([2, 3, 4, 8]))
    const at = apply(choose.chance(60) ? "floordiv" : "floormod", flat(), by)
    if (choose.chance(40)) return apply("toF32", choose.chance(50) ? at : apply("floormod", at, literal(3)))
    buffers.push({ name: `w${n}`, dtype: "f32", storage: "f32", shape: [700] })
    return load(`w${n}`, [at], "f32")
  }
  const factors = Array.from({ length: 2 + choose.below(2) }, (_, n): Expression => {
    if (n > 0 && choose.chance(30)) return counted(n)
    let axes = choose.chance(50) ? ["o", ...folded] : folded
    if (choose.chance(25)) axes = axes.filter(() => choose.chance(70))
    if (choose.chance(25)) axes = [...axes].reverse()
    if (axes.length === 0) return literal(2, "f32")
    // An axis of one element is in nobody's way.
    if (between && axes.length > 1) axes = [axes[0]!, "unit", ...axes.slice(1)]
    const shape = axes.map((a) => extents.get(a)! + (a !== "unit" && choose.chance(15) ? 1 : 0))
    // One buffer may be read at several places.
    const name = choose.chance(20) && n > 0 ? "x0" : `x${n}`
    if (buffers.every((b) => b.name !== name)) buffers.push({ name, dtype: "f32", storage: "f32", shape })
    const own = buffers.find((b) => b.name === name)!.shape
    if (own.length !== axes.length || own.some((s, i) => s < extents.get(axes[i]!)!)) return literal(3, "f32")
    const at = axes.map((a) => (choose.chance(10) || a === "unit" ? literal(0) : variable(a)))
    return load(name, at, "f32")
  })
  const used = choose.chance(10) ? [apply("toF32", add(variable(choose.of(folded)), literal(1)))] : []
  const lift = [...factors, ...used].reduce((a, b) => apply("mul", a, b))
  const value = [...folded].reverse().reduce((x, a) => reduce(a, literal(extents.get(a)!), sum, [x]), lift)
  const o = extents.get("o")!
  buffers.push({ name: "y", dtype: "f32", storage: "f32", shape: [o] })
  const axes = [{ name: "o", extent: literal(o) }]
  const read = loadedIn([value])
  const items = [{ kind: "store" as const, buffer: "y", axes, index: [variable("o")], value }]
  return { name: "sums", buffers: buffers.filter((b) => b.name === "y" || read.has(b.name)), items, spans: [] }
}

/** What is wrong with a kernel that stands for another one. */
function wrongKernel(kernel: Kernel, made: Kernel): string | undefined {
  const problems = verifyKernel(made)
  if (problems.length > 0) return problems.map((p) => p.message).join("; ")
  const memories = kernelMemories(kernel, 3)
  const found = copied(memories)
  const effect = effectOf(kernel, memories, new Map(), "exact")
  interpretKernel(made, found, new Map())
  return wrongEffect(effect, found)
}

let merges = 0

test(
  "merged folds sum up what they summed up apart",
  () => {
    const check = (numbers: readonly number[]) =>
      withTable(() => {
        const kernel = kernelFrom(numbers)
        const made = merged(kernel)
        if (made !== kernel) merges++
        const wrong = wrongKernel(kernel, made)
        if (wrong !== undefined) throw new LawBroken(`${wrong}\n${printKernel(kernel)}\n${printKernel(made)}`)
      })
    law("merged folds", decisions(24, 24), 300, check)
    expect(merges).toBeGreaterThanOrEqual(runs(30))
  },
  patience,
)

const faults: Readonly<Record<string, (made: Kernel) => Kernel>> = {
  "an element of the merged axis forgotten": (made) => ({
    ...made,
    items: made.items.map((i) => ({ ...i, value: shorter(i.value) })),
  }),
  "what lies beside is taken for one row": (made) => ({
    ...made,
    buffers: made.buffers.map((b) => ({
      ...b,
      shape: b.shape.map((s, at) => (at === b.shape.length - 1 ? s - 1 : s)),
    })),
  }),
}

const shorter = (x: Expression): Expression =>
  x.kind === "reduce" && x.extent.kind === "literal" ? reduce(x.axis, literal(x.extent.value - 1), x.monoid, x.lift) : x

const draw = drawsOf(decisions(24, 24))

test.each(Object.keys(faults))("planted: %s", (name) =>
  hunt("merged folds", name, draw, (numbers) =>
    withTable(() => {
      const kernel = kernelFrom(numbers)
      const made = merged(kernel)
      if (made === kernel) return undefined
      try {
        return wrongKernel(kernel, faults[name]!(made)) !== undefined
      } catch {
        return true
      }
    }),
  ),
)
