/**
 * Random online folds for matrix units: scores that are products, masked or not, and what they weigh.
 *
 *   store y[b, r0, r1, c] = #1.2 / #1.1,  #1 = online(exp, 2)_{key < past + seq}(select(key <= r0 + past, Σ_e q[b, r0, r1, e] · k[b, key, e] · 0.25, −∞), 1, v[b, key, c])
 *   store z[c, r1, r0, b] = #1.0 + #1.2 / #1.1     made along with it
 *
 * Products of scores are exact; weights are rounded to bf16 where they are multiplied, so that results differ by that much of the largest value.
 */
import fc from "fast-check"
import { writeElement } from "../../compiler/interpret/memory.js"
import { maximum } from "../../compiler/ir/dim.js"
import {
  add,
  apply,
  component,
  literal,
  load,
  localRead,
  mul,
  reduce,
  symbol,
  variable,
} from "../../compiler/ir/expression.js"
import { type Kernel, type KernelBuffer, type Local, type Store, written } from "../../compiler/ir/kernel.js"
import type { Storage } from "../../compiler/ir/loop.js"
import { loose, onlineMonoid, sum } from "../../compiler/ir/monoid.js"
import type { Expression, Reduce } from "../../compiler/ir/nodes.js"
import type { Schedule, StoreSchedule } from "../../compiler/ir/schedule.js"
import type { Axis } from "../../compiler/ir/tensor.js"
import { Choices, decisions } from "./choices.js"
import { memoriesOf } from "./kernel-memories.js"
import type { Effect } from "./loops.js"

export interface OnlineRecipe {
  readonly numbers: readonly number[]
  readonly seq: number
  readonly past: number
  readonly seed: number
}

export const onlineRecipes: fc.Arbitrary<OnlineRecipe> = fc.record({
  numbers: decisions(8, 80),
  seq: fc.constantFrom(19, 1, 24, 7, 16),
  past: fc.constantFrom(0, 5, 33, 60),
  seed: fc.nat(0xffff),
})

const seq = () => symbol("seq", 24, 16)
const past = () => symbol("past", 60, 8)
const keyName = "t0"

export interface OnlineKernel {
  readonly kernel: Kernel
  readonly schedule: Schedule
  readonly traits: readonly string[]
  /** The folded axis. */
  readonly key: Axis
  /** Which axis of a buffer it is. */
  readonly along: ReadonlyMap<string, number>
}

class Making {
  readonly choose: Choices
  readonly buffers: KernelBuffer[] = []
  readonly items: (Local | Store)[] = []
  readonly traits: string[] = []
  readonly along = new Map<string, number>()

  constructor(numbers: readonly number[]) {
    this.choose = new Choices(numbers)
  }

  load(name: string, axes: readonly Axis[], storage: Storage): Expression {
    const shape = axes.map((a, i) => {
      const most = Math.max(1, maximum(a.extent))
      return i === axes.length - 1 ? Math.ceil(most / 8) * 8 : most
    })
    this.buffers.push({ name, dtype: "f32", storage, shape })
    const key = axes.findIndex((a) => a.name === keyName)
    if (key >= 0) this.along.set(name, key)
    return load(
      name,
      axes.map((a) => variable(a.name)),
      "f32",
    )
  }

  storage(): Storage {
    return this.choose.of<Storage>(["bf16", "bf16", "f32", "bf16", "bf16", "f16"])
  }

  /** Now and then. */
  trait(name: string, percent: number): boolean {
    const drawn = this.choose.chance(percent)
    if (drawn) this.traits.push(name)
    return drawn
  }
}

interface Axes {
  readonly batch: readonly Axis[]
  readonly rows: readonly Axis[]
  readonly columns: readonly Axis[]
  readonly key: Axis
  readonly isCausal: boolean
}

export function buildOnline({ numbers }: OnlineRecipe): OnlineKernel {
  const make = new Making(numbers)
  const { choose, buffers, traits } = make
  const axes = axesOf(make)
  const fold = foldOf(make, axes)
  const [total, ...sums] = Array.from({ length: fold.lift.length - 1 }, (_, i) => component(fold, i + 1))
  const whole = apply(
    "div",
    sums.reduce((x, y) => add(x, y)),
    total!,
  )
  const points = pointsOf(make, axes)
  const value = make.trait("residual", 25) ? add(make.load("x", points, "f32"), whole) : whole
  const order = make.trait("stored across", 10) ? [points.at(-1)!, ...points.slice(0, -1)] : points
  const shape = order.map((a) => Math.max(1, maximum(a.extent)))
  const even = order === points && shape.at(-1)! % 2 === 0
  buffers.push({ name: "y", dtype: "f32", storage: even && choose.chance(40) ? "bf16" : "f32", shape })
  make.items.push({ kind: "store", buffer: "y", axes: points, index: order.map((a) => variable(a.name)), value })
  const stores: StoreSchedule[] = [scheduled(make, axes)]
  if (make.trait("a store along", 15)) {
    const turned = [...points].reverse()
    const extents = turned.map((a) => Math.max(1, maximum(a.extent)))
    buffers.push({ name: "z", dtype: "f32", storage: "f32", shape: extents })
    const index = turned.map((a) => variable(a.name))
    make.items.push({ kind: "store", buffer: "z", axes: points, index, value: add(component(fold, 0), whole) })
    const same = Object.fromEntries(points.map((a) => [a.name, a.name]))
    stores.push({ tile: {}, reduce: {}, computeWith: { store: 0, axes: same } })
  }
  const { name } = stores[0]!.atom!
  const groups = Object.values(stores[0]!.warps!).reduce((n, x) => n * x, 1)
  const kernel: Kernel = { name: "online", spans: [], buffers, items: make.items }
  const threads = (name.startsWith("wgmma") ? 128 : 32) * groups
  return { kernel, schedule: { threads, stores, locals: {} }, traits, key: axes.key, along: make.along }
}

function axesOf({ choose }: Making): Axes {
  const rows: Axis[] = [{ name: "r0", extent: choose.chance(60) ? seq() : literal(choose.of([19, 8, 16, 1])) }]
  if (choose.chance(50)) rows.push({ name: "r1", extent: literal(choose.of([2, 3, 1])) })
  const batch: Axis[] = choose.chance(40) ? [{ name: "b0", extent: literal(choose.of([2, 1, 3])) }] : []
  const columns: Axis[] = [{ name: "c0", extent: literal(choose.of([16, 32, 8, 24, 7, 40])) }]
  if (choose.chance(10)) columns.unshift({ name: "c1", extent: literal(choose.of([2, 3])) })
  const isCausal = choose.chance(60)
  const extent = isCausal || choose.chance(50) ? add(past(), seq()) : literal(choose.of([40, 64, 7, 33]))
  return { rows, batch, columns, key: { name: keyName, extent }, isCausal }
}

/** The axes of the store: rows and batch in any order. */
function pointsOf({ choose }: Making, { batch, rows, columns }: Axes): readonly Axis[] {
  const before = choose.of([
    [...batch, ...rows],
    [...rows, ...batch],
    [...rows.slice(0, 1), ...batch, ...rows.slice(1)],
    [...rows].reverse().concat(batch),
  ])
  return [...before, ...columns]
}

function foldOf(make: Making, axes: Axes): Reduce {
  const { choose } = make
  const { batch, rows, columns, key } = axes
  const score = scoreOf(make, axes)
  const v = (name: string): Expression => {
    const across = make.trait("values across", 15)
    return make.load(name, across ? [...batch, ...columns, key] : [...batch, key, ...columns], make.storage())
  }
  const lifted = [literal(1, "f32"), v("v")]
  if (make.trait("two wide channels", 15)) lifted.push(v("u"))
  if (make.trait("a channel of rows", 10)) lifted.push(make.load("f", rows, "f32"))
  const monoid = onlineMonoid("exp", lifted.length)
  return reduce(key.name, key.extent, choose.chance(50) ? loose(monoid) : monoid, [score, ...lifted]) as Reduce
}

function scoreOf(make: Making, { batch, rows, key, isCausal }: Axes): Expression {
  const { choose, traits } = make
  const inner: Axis = { name: "e0", extent: literal(choose.of([16, 32, 8, 24, 5, 80])) }
  const q = make.load("q", [...batch, ...(choose.chance(20) ? [...rows].reverse() : rows), inner], make.storage())
  const orders = [
    [...batch, key, inner],
    [...batch, key, inner],
    [key, ...batch, inner],
    [...batch, inner, key],
  ]
  const k = make.load("k", choose.of(orders), make.storage())
  const scale = literal(choose.of([0.25, 1 / 64, 1 / 16]), "f32")
  let score = mul(reduce(inner.name, inner.extent, sum, [mul(q, k)]), scale)
  if (make.trait("bias", 25)) score = add(score, make.load("bias", choose.of([[rows[0]!, key], [key]]), "f32"))
  if (make.trait("row factor", 10)) {
    const own = rows.map((a): Axis => ({ ...a, name: `${a.name}s` }))
    const folded: Axis = { name: "j0", extent: literal(3) }
    const of = make.load("s", [...own, folded], "f32")
    make.items.push({ kind: "local", name: "l0", axes: own, value: reduce("j0", folded.extent, sum, [of]) })
    const at = rows.map((a) => variable(a.name))
    score = mul(score, mul(localRead("l0", at, "f32"), literal(1 / 16, "f32")))
  }
  const bounds: Expression[] = []
  const place = add(variable("r0"), past())
  if (isCausal && rows[0]!.extent.kind === "symbol") bounds.push(apply("le", variable("t0"), place))
  if (bounds.length > 0 && choose.chance(40)) bounds.push(apply("gt", variable("t0"), add(place, literal(-17))))
  if (bounds.length > 1) traits.push("window")
  if (bounds.length === 1) traits.push("causal")
  // Rows of which no element counts, whatever a chunk is.
  if (bounds.length > 0 && make.trait("rows of none", 10))
    bounds.push(apply("gt", variable("t0"), apply("sub", literal(9), variable("r0"))))
  const masked = bounds.reduce<Expression | undefined>((p, b) => (p === undefined ? b : apply("and", p, b)), undefined)
  const none = literal(Number.NEGATIVE_INFINITY, "f32")
  return masked === undefined ? score : apply("select", masked, score, none)
}

function scheduled({ choose, traits }: Making, { batch, rows, columns, key }: Axes): StoreSchedule {
  // Of an asynchronous atom the groups are large, and interpreted slowly.
  const wide = choose.chance(15)
  const name = wide ? "wgmma.m64n64k16.bf16" : `mma.m16n8k16.${choose.of(["bf16", "bf16", "bf16", "f16"])}`
  if (wide) traits.push("asynchronous")
  const groups = choose.of(wide ? [1] : [1, 2, 1])
  const chunk = wide ? 64 : choose.of([16, 32, 48])
  const stages = choose.of([2, 1, 3])
  const tile = {
    ...Object.fromEntries(batch.map((a) => [a.name, { block: 1 }])),
    ...Object.fromEntries(
      rows.map((a, i) => [a.name, { block: i === 0 ? choose.of([16, 8, 24, 4]) : choose.of([2, 1]) }]),
    ),
    ...Object.fromEntries(columns.map((a) => [a.name, { block: "all" as const }])),
  }
  const run = choose.chance(40) ? { run: choose.of([1, 2]) } : {}
  if ("run" in run) traits.push("kept")
  const reductions = { [key.name]: { chunk, ...(stages > 1 ? { stages } : {}), ...run } }
  const order = choose.chance(20) ? { backwards: true } : {}
  const boxes = choose.chance(60)
  return {
    atom: { name, ...(boxes ? { boxes } : {}) },
    tile,
    warps: { [rows.at(-1)!.name]: groups },
    reduce: reductions,
    ...order,
  }
}

/** The largest value that is weighed. */
export const largestValue = 4

/**
 * Whole numbers of which products of 80 are exact in bf16, garbage in what is written; what is added to scores may be −∞, and seldom ∞ or NaN. Of
 * elements beyond the end of the fold nothing may be seen: they are NaN.
 */
export function onlineMemories(
  { kernel, key, along }: OnlineKernel,
  { seed, seq, past }: Omit<OnlineRecipe, "numbers">,
) {
  const special = seed % 4 === 0 ? [Number.POSITIVE_INFINITY, Number.NaN] : []
  const biases = [0, 1.5, -3, 40, Number.NEGATIVE_INFINITY]
  const memories = memoriesOf(kernel, seed, ({ name }, next) => {
    const whole = (next() % (2 * largestValue + 1)) - largestValue
    const seldom = next() % 97 === 0 ? special[next() % 2] : undefined
    return name === "bias" ? (seldom ?? biases[next() % biases.length]!) : whole
  })
  const end = key.extent.kind === "literal" ? key.extent.value : past + seq
  for (const { name, shape } of kernel.buffers) {
    const axis = along.get(name)
    if (axis === undefined) continue
    const [memory, stride] = [memories.get(name)!, shape.slice(axis + 1).reduce((n, x) => n * x, 1)]
    for (let i = 0; i < memory.size; i++)
      if (Math.floor(i / stride) % shape[axis]! >= end) writeElement(memory, i, Number.NaN)
  }
  return memories
}

/** What is wrong with what has been stored: weights lose 9 bits at most where they are rounded to bf16, and so may what is stored. */
export function wrongOnline(
  { kernel, after }: Effect,
  found: ReadonlyMap<string, { readonly values: ArrayLike<number> }>,
): string | undefined {
  for (const name of written(kernel)) {
    const expected = after.get(name)!.values
    for (let i = 0; i < expected.length; i++) {
      const [x, y] = [expected[i]!, found.get(name)!.values[i]!]
      if (x === y || (Number.isNaN(x) && Number.isNaN(y))) continue
      if (!(Math.abs(x - y) <= 2 ** -7 * (2 * largestValue + Math.abs(x)))) return `${name}[${i}] is ${y}, not ${x}`
    }
  }
  return undefined
}
