/**
 * Products by matrix units, written as loops over fragments: they make what the tensors mean, before and after the passes over loops; and a wrong
 * entry of a layout, a forgotten zero, barrier or wait is found.
 */
import { expect, test } from "vitest"
import { interpretLoop } from "../../compiler/interpret/loop.js"
import { allocateBuffer, memoryOf } from "../../compiler/interpret/memory.js"
import { type Dense, interpretTensor } from "../../compiler/interpret/tensor.js"
import { apply, literal, variable } from "../../compiler/ir/expression.js"
import { atoms } from "../../compiler/ir/fragments/atoms.js"
import type { Layout } from "../../compiler/ir/fragments/layout.js"
import type { LoopKernel, OperandName } from "../../compiler/ir/loop.js"
import { sum } from "../../compiler/ir/monoid.js"
import { printLoop } from "../../compiler/ir/print/loop.js"
import * as ir from "../../compiler/ir/tensor.js"
import { proveAccesses } from "../../compiler/ir/verify/accesses.js"
import { verifyLoop } from "../../compiler/ir/verify/loop.js"
import { clean } from "../../compiler/loop/clean.js"
import { dropBarriers } from "../../compiler/loop/drop-barriers.js"
import { hoistInvariants } from "../../compiler/loop/hoist-invariants.js"
import { mergeLoads } from "../../compiler/loop/merge-loads.js"
import { Choices, decisions, scrambled } from "./choices.js"
import { fragmentFaults } from "./faults-fragments.js"
import { hunt } from "./hunt.js"
import { changeLoops } from "./mutate.js"
import { productKernel } from "./product-loops.js"
import { drawProduct, type Product } from "./products.js"
import { law, patience, runs, seed } from "./settings.js"

interface Given {
  readonly a: Dense
  readonly b: Dense
  readonly y: Float64Array
}

const [left, right] = [variable("$0", "f32"), variable("$1", "f32")]

/**
 * Operands of whole numbers, of which sums are exact in any order, and what the tensors make of them. The first element of each may be infinite: what
 * multiplies it where zeros belong is no number.
 */
function givenFor({ rows, columns, depth, turned }: Product, next: () => number): Given {
  const infinite = next() % 2 === 0
  const operand = (name: string, own: string, extent: number, isTurned: boolean) => {
    const axes = isTurned
      ? [
          { name: "k", extent: depth },
          { name: own, extent },
        ]
      : [
          { name: own, extent },
          { name: "k", extent: depth },
        ]
    const data = Float64Array.from({ length: extent * depth }, () => (next() % 9) - 4)
    if (infinite) data[0] = Number.POSITIVE_INFINITY
    const symbolic = axes.map((axis) => ({ name: axis.name, extent: literal(axis.extent) }))
    return {
      dense: { axes, dtype: "f32", data } as const,
      tensor: ir.input(name, "input", symbolic, "f32", "f32", [8, 8]),
    }
  }
  const [a, b] = [operand("a", "row", rows, turned[0]), operand("b", "column", columns, turned[1])]
  const product = ir.reduce(sum, "k", [ir.map(apply("mul", left, right), [a.tensor, b.tensor])])
  const [made] = interpretTensor(
    [product],
    new Map([
      ["a", a.dense],
      ["b", b.dense],
    ]),
    new Map(),
  )
  const order = made!.axes[0]!.name === "row"
  const y = order ? made!.data : made!.data.map((_, i) => made!.data[(i % columns) * rows + Math.floor(i / columns)]!)
  return { a: a.dense, b: b.dense, y }
}

/** What a kernel stores in place of y; undefined where that is y. */
function wrong(kernel: LoopKernel, { a, b, y }: Given, storage: "bf16" | "f16", order: number): string | undefined {
  const stored = allocateBuffer("f32", "f32", y.length)
  const memories = new Map([
    ["a", memoryOf(storage, a.data)],
    ["b", memoryOf(storage, b.data)],
    ["y", stored],
  ])
  interpretLoop(kernel, memories, new Map(), { seed: order })
  const at = y.findIndex((x, i) => x !== stored.values[i] && !(Number.isNaN(x) && Number.isNaN(stored.values[i]!)))
  return at < 0 ? undefined : `y[${at}] is ${stored.values[at]}, not ${y[at]}`
}

const storageOf = (p: Product) => atoms.get(p.atom)!.a.storage as "bf16" | "f16"

const passes = [clean, hoistInvariants, mergeLoads, dropBarriers]

function checkProduct(p: Product, next: () => number): void {
  const given = givenFor(p, next)
  const kernel = productKernel(p)
  const passed = passes.reduce((loops, pass) => pass(loops), kernel)
  for (const loops of [kernel, passed]) {
    expect(verifyLoop(loops)).toEqual([])
    expect(proveAccesses(loops).unproven).toEqual([])
    expect(wrong(loops, given, storageOf(p), 1 + (next() % 1000))).toBeUndefined()
  }
}

test("products of any sizes make what the tensors mean", { timeout: patience }, () => {
  const spelled = (numbers: readonly number[]) => {
    const p = drawProduct(new Choices(numbers))
    return `${JSON.stringify(p)}\n${printLoop(productKernel(p))}`
  }
  law(
    "products by matrix units",
    decisions(30, 30),
    16,
    (numbers) => checkProduct(drawProduct(new Choices(numbers)), scrambled(numbers.length)),
    spelled,
  )
})

/** Products and what they mean, for all faults: the same in each run of a seed. */
const samples: { readonly p: Product; readonly given: Given }[] = []
function sampleOf(i: number) {
  const next = scrambled(seed + 977 * i)
  samples[i] ??= (() => {
    const p = drawProduct(new Choices(Array.from({ length: 30 }, next)))
    return { p, given: givenFor(p, next) }
  })()
  return samples[i]
}

const isFound = (loops: LoopKernel, { p, given }: (typeof samples)[number], order: number): boolean => {
  if (verifyLoop(loops).length > 0) return true
  try {
    return wrong(loops, given, storageOf(p), order) !== undefined
  } catch {
    return true
  }
}

test.each(Object.keys(fragmentFaults))("planted: %s", { timeout: patience }, (name) => {
  hunt("fragments", name, sampleOf, (sample, i) => {
    const at = (n: number) => changeLoops(productKernel(sample.p), fragmentFaults[name]!, n)
    const changed = at(i % 3) ?? at(0)
    return changed && isFound(changed, sample, 1 + i)
  })
})

/** Layouts with two entries that changed places: each entry with each. */
function swaps(layout: Layout): readonly Layout[] {
  const bits = [...layout.lane, ...layout.register]
  const { length } = layout.lane
  return bits.flatMap((first, i) =>
    bits.slice(0, i).map((second, j) => {
      const swapped = bits.with(i, second).with(j, first)
      return { ...layout, lane: swapped.slice(0, length), register: swapped.slice(length) }
    }),
  )
}

const tables = [...atoms.values()]
  // Of halves of either kind the tables are the same; of wider ones there is only more of it.
  .filter((atom) => atom.n <= 64 && atom.a.storage === "bf16")
  .flatMap((atom) =>
    (["a", "b", "c"] as const).flatMap((name) => {
      const { layout } = atom[name]
      return layout === undefined ? [] : [{ atom: atom.name, name, layout }]
    }),
  )

test.each(tables)(
  "$atom, $name: ordinary code with a wrong entry makes something else",
  { timeout: patience },
  (table) => {
    const { m, n, k } = atoms.get(table.atom)!
    const p: Product = {
      rows: m,
      columns: n,
      depth: k,
      atom: table.atom,
      groups: [1, 1],
      fragments: [1, 1],
      chunk: 16,
      stages: 2,
      turned: [false, false],
      staging: "copies",
      swizzled: true,
      filling: "code",
      left: "fragment",
      behind: 0,
      launched: 1,
    }
    const given = givenFor(p, scrambled(runs(1)))
    const layoutsOf = (layout: Layout): Partial<Record<OperandName, Layout>> => ({ [table.name]: layout })
    expect(isFound(productKernel(p, layoutsOf(table.layout)), { p, given }, 1)).toBe(false)
    for (const layout of swaps(table.layout))
      expect(isFound(productKernel(p, layoutsOf(layout)), { p, given }, 1), JSON.stringify(layout)).toBe(true)
  },
)
