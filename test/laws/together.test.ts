/** Stores that are made along with others, and lists that lanes share: loops store what kernels store, and wrong ones are found. */
import fc from "fast-check"
import { expect, test } from "vitest"
import { apply, component, literal, load, reduce, variable, withTable } from "../../compiler/ir/expression.js"
import type { Kernel, KernelBuffer, Store } from "../../compiler/ir/kernel.js"
import { argmax, type Monoid, max, sum, top } from "../../compiler/ir/monoid.js"
import type { Expression, Reduce } from "../../compiler/ir/nodes.js"
import { printKernel } from "../../compiler/ir/print/kernel.js"
import type { StoreSchedule } from "../../compiler/ir/schedule.js"
import { verifyKernel } from "../../compiler/ir/verify/kernel.js"
import { Choices } from "./choices.js"
import { drawsOf, hunt } from "./hunt.js"
import { kernelMemories } from "./kernel-memories.js"
import { checkLoops, effectOf, isWrong, loopsOf } from "./loops.js"
import { changeLoops, type Rules } from "./mutate.js"
import { drawSchedule, foldedAxes, scheduleNumbers } from "./schedules.js"
import { law, patience, runs } from "./settings.js"

const cases = fc.record({ numbers: scheduleNumbers, schedule: scheduleNumbers })
type Case = typeof cases extends fc.Arbitrary<infer T> ? T : never

/** Two to four stores over the rows of `x`, of which each folds a row: with axes of its own, as fusion names them. */
function kernelFrom(numbers: readonly number[]): Kernel {
  const choose = new Choices(numbers)
  const [rows, elements] = [choose.of([2, 1, 3, 5]), choose.of([8, 17, 5, 24, 12])]
  const ranks = choose.of([3, 2, 5].filter((n) => n <= elements))
  const buffers: KernelBuffer[] = [{ name: "x", dtype: "f32", storage: "f32", shape: [rows, elements] }]
  const items = Array.from({ length: 2 + choose.below(3) }, (_, n): Store => {
    const kind = choose.of(["value", "index", "sum", "first", "largest", "squares"] as const)
    const [row, slot] = [`row${n}`, `slot${n}`]
    const k = variable(choose.chance(50) ? "k" : `k${n}`)
    const element = load("x", [variable(row), k], "f32")
    const folded = (monoid: Monoid, ...lift: Expression[]) => reduce(k.name, literal(elements), monoid, lift) as Reduce
    const list = folded(top(ranks), element, k)
    const of = { value: () => component(list, 0, variable(slot)), index: () => component(list, 1, variable(slot)) }
    const value =
      kind === "value" || kind === "index"
        ? of[kind]()
        : kind === "first"
          ? component(folded(argmax, element, k), 1)
          : kind === "squares"
            ? folded(sum, apply("mul", element, element))
            : folded(kind === "sum" ? sum : max, element)
    const listed = kind === "value" || kind === "index"
    const axes = [{ name: row, extent: literal(rows) }, ...(listed ? [{ name: slot, extent: literal(ranks) }] : [])]
    const { dtype } = value
    buffers.push({ name: `y${n}`, dtype, storage: dtype, shape: listed ? [rows, ranks] : [rows] })
    return { kind: "store", buffer: `y${n}`, axes, index: axes.map((a) => variable(a.name)), value }
  })
  return { name: "together", buffers, items, spans: [] }
}

/** The kernel with a random schedule, or with one whose lanes share all folds. */
const drawn = ({ numbers, schedule }: Case) => {
  const kernel = kernelFrom(numbers)
  const scheduled = drawSchedule(kernel, schedule, 0, 10)
  const choose = new Choices(schedule)
  if (choose.chance(40)) return { kernel, scheduled }
  const [threads, subgroup] = choose.of([
    [8, 8],
    [4, 4],
    [8, 4],
    [8, 2],
  ] as const)
  const group = choose.of([4, 2, 8].filter((n) => n <= threads))
  const stores = kernel.items.map((_, n): StoreSchedule => {
    const given = scheduled.schedule.stores[n]!
    if (given.computeWith !== undefined) return given
    return {
      tile: {},
      reduce: Object.fromEntries([...foldedAxes(kernel.items.map((o) => o.value))].map((a) => [a, { group }])),
    }
  })
  return { kernel, scheduled: { ...scheduled, schedule: { threads, subgroup, stores, locals: {} } } }
}

const counts = new Map<string, number>()
const count = (name: string): void => {
  counts.set(name, (counts.get(name) ?? 0) + 1)
}

test(
  "loops of stores that are made together store what the kernels store",
  () => {
    const check = (c: Case) =>
      withTable(() => {
        const { kernel, scheduled } = drawn(c)
        expect(verifyKernel(kernel)).toEqual([])
        const effect = effectOf(kernel, kernelMemories(kernel, 5), new Map(), "exact")
        const refusal = checkLoops(effect, scheduled, new Map(), 5)
        if (refusal !== undefined) return count(`refused ${refusal}`)
        const { stores } = scheduled.schedule
        if (stores.some((s) => s.computeWith !== undefined)) count("together")
        if (/_first_/.test(JSON.stringify(loopsOf(kernel, scheduled)))) count("lists of lanes")
      })
    law("stores together", cases, 80, check, (c) => withTable(() => printKernel(drawn(c).kernel)))
    console.log(JSON.stringify(Object.fromEntries([...counts].sort())))
    const least = Math.min(runs(80), 80) / 6
    for (const name of ["together", "lists of lanes"]) expect(counts.get(name) ?? 0, name).toBeGreaterThan(least)
  },
  patience,
)

const taken = /_taken_/
const faults: Readonly<Record<string, Rules>> = {
  "what goes along has another value": {
    statement: (s) =>
      s.kind !== "store" || !/^y[1-3]$/.test(s.array) || s.value.dtype !== "f32"
        ? undefined
        : [{ ...s, value: apply("add", s.value, literal(1, "f32")) }],
  },
  "the first of a list stays in it": {
    statement: (s) => (s.kind === "let" && taken.test(s.name) ? [{ ...s, value: literal(0, "bool") }] : undefined),
  },
  "every lane's first is taken": {
    statement: (s) => (s.kind === "let" && taken.test(s.name) ? [{ ...s, value: literal(1, "bool") }] : undefined),
  },
  "the last of a list is had twice": {
    expression: (x) =>
      x.kind === "operation" &&
      x.operation === "select" &&
      x.args[0]!.kind === "variable" &&
      taken.test(x.args[0]!.name) &&
      x.args[1]!.kind === "literal"
        ? x.args[2]!
        : undefined,
  },
  "a rank of another subgroup's lane": {
    statement: (s) =>
      s.kind === "shuffle" && s.mask > 1 && s.value.kind === "variable" && /_first_/.test(s.value.name)
        ? [{ ...s, mask: s.mask >> 1 }]
        : undefined,
  },
}

const draw = drawsOf(cases)

test.each(Object.keys(faults))("planted: %s", (name) =>
  hunt("stores together", name, draw, (c, n) =>
    withTable(() => {
      const { kernel, scheduled } = drawn(c)
      const made = loopsOf(kernel, scheduled)
      const wrong = typeof made === "string" ? undefined : changeLoops(made.tiled, faults[name]!, n % 3)
      if (wrong === undefined) return undefined
      const effect = effectOf(kernel, kernelMemories(kernel, 5), new Map(), "exact")
      return isWrong(effect, wrong, new Map(), 5)
    }),
  ),
)
