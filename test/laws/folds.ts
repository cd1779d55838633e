/**
 * Random kernels of long folds, for what workgroups do with such: chunks, ranges, held operands and scores, stores along with others, parts.
 *
 *   y[r, d]  = online_{key < past + seq}(select(key <= past + r && key > past + r - 5, q[r] · k[key], lowest), 1, v[key, d]).2 / ….1
 *   l[r']    = the same fold's total            made of the same fold over fewer axes
 *
 * Predicates are conjunctions of comparisons: of before and after, windows, ends that a symbol sets, rows for which none holds, some that are
 * not linear or that data decide. Sums and maxima are of small integers and exact, online folds are not.
 */
import fc from "fast-check"
import { maximum } from "../../compiler/ir/dim.js"
import {
  add,
  and,
  apply,
  component,
  freeVariables,
  literal,
  load,
  mul,
  reduce,
  sub,
  substitute,
  symbol,
  variable,
} from "../../compiler/ir/expression.js"
import type { Kernel, KernelBuffer, Store } from "../../compiler/ir/kernel.js"
import { type Storage, storageType } from "../../compiler/ir/loop.js"
import { argmax, max, min, onlineMonoid, product, sum, top } from "../../compiler/ir/monoid.js"
import type { Expression, Reduce } from "../../compiler/ir/nodes.js"
import { recipeOf } from "../../compiler/ir/recipes.js"
import type { Axis } from "../../compiler/ir/tensor.js"
import { Choices, decisions } from "./choices.js"
import type { Regime } from "./program.js"

export interface FoldRecipe {
  readonly numbers: readonly number[]
  readonly seq: number
  readonly past: number
  readonly seed: number
}

export const foldRecipes: fc.Arbitrary<FoldRecipe> = fc.record({
  numbers: decisions(30, 70),
  seq: fc.constantFrom(4, 6, 1, 5, 3, 0, 6, 2),
  past: fc.constantFrom(5, 9, 0, 7, 2, 8, 1),
  seed: fc.nat(0xffff),
})

export const foldSymbols = ({ seq, past }: FoldRecipe): ReadonlyMap<string, number> =>
  new Map([
    ["seq", seq],
    ["past", past],
  ])

/** A kernel with what it was drawn to have. */
export interface FoldKernel {
  readonly kernel: Kernel
  readonly regime: Regime
  readonly fold: "exp" | "moments" | "sum" | "max" | "min" | "argmax" | "product" | "top" | "chain"
  readonly masked: boolean
  /** Stores besides the first that have its folds. */
  readonly beside: number
}

const seq = () => symbol("seq", 6, 4)
const past = () => symbol("past", 9, 5)
const key = "key"

class Making {
  readonly choose: Choices
  readonly buffers: KernelBuffer[] = []
  constructor(numbers: readonly number[]) {
    this.choose = new Choices(numbers)
  }

  buffer(storage: Storage, shape: readonly number[]): string {
    const name = `b${this.buffers.length}`
    this.buffers.push({ name, dtype: storageType(storage), storage, shape })
    return name
  }

  /** Small whole numbers over some axes, in an order of their own. */
  load(axes: readonly Axis[], storage: Storage = "f32"): Expression {
    const order = this.choose.chance(30) ? [...axes].reverse() : axes
    const name = this.buffer(
      storage,
      order.map((a) => Math.max(1, maximum(a.extent))),
    )
    return load(
      name,
      order.map((a) => variable(a.name)),
      storageType(storage),
    )
  }

  operand(axes: readonly Axis[]): Expression {
    return this.load(axes, this.choose.of(["f32", "f32", "bf16"]))
  }

  /** What one element of the folded axis is worth to a row: an operand, a product, or a fold of a product. */
  element(rows: readonly Axis[], long: Axis): Expression {
    const { choose } = this
    switch (choose.below(4)) {
      case 1:
        return this.operand([...rows, long])
      case 2: {
        const dim: Axis = { name: "dim", extent: literal(choose.of([4, 3, 8, 1])) }
        const both = mul(this.operand([...rows, dim]), this.operand([long, dim]))
        return reduce(dim.name, dim.extent, sum, [both])
      }
      case 3:
        return mul(this.operand([...rows, long]), this.operand([long]))
      default:
        return mul(this.operand(rows), this.operand([long]))
    }
  }

  /** One comparison; `k` is the place on the folded axis. */
  comparison(rows: readonly Axis[], long: Axis): Expression {
    const { choose } = this
    const k = variable(key)
    const row: Expression = rows.length === 0 ? literal(2) : variable(choose.of(rows).name)
    const here = choose.chance(50) ? add(past(), row) : row
    const window = literal(choose.of([3, 1, 5, 8]))
    switch (choose.below(11)) {
      case 1:
        return apply("gt", k, sub(here, window))
      case 2:
        return apply("lt", k, add(row, literal(choose.of([1, 4]))))
      case 3:
        return apply("ge", here, k)
      // No element of the first rows.
      case 4:
        return apply("le", k, sub(row, literal(3)))
      case 5:
        return apply("lt", k, choose.of([seq(), past(), literal(7)]))
      case 6:
        return apply("ge", add(k, literal(choose.of([1, 0, 4]))), row)
      case 7:
        return apply("le", mul(k, literal(2)), add(here, literal(5)))
      case 8:
        return apply("lt", row, literal(choose.of([2, 5])))
      case 9:
        return choose.of([apply("eq", k, row), apply("lt", this.load([long], "i32"), literal(1))])
      case 10:
        return apply("le", add(k, row), add(past(), literal(4)))
      default:
        return apply("le", k, here)
    }
  }

  inOrder(rows: readonly Axis[], long: Axis): readonly Expression[] {
    const { choose } = this
    const row = variable(rows[0]!.name)
    const here = long.extent.kind === "operation" ? add(past(), row) : row
    const k = variable(key)
    const made = [choose.of([apply("le", k, here), apply("lt", k, add(here, literal(1)))])]
    if (choose.chance(75)) made.push(apply("gt", k, sub(here, literal(choose.of([4, 6, 2, 8, 1, 5])))))
    if (choose.chance(10)) made.push(this.comparison(rows, long))
    return made
  }

  /** `inOrder`: elements up to the row's own count, or the last few of them. */
  masked(value: Expression, identity: number, rows: readonly Axis[], long: Axis, inOrder: boolean): Expression {
    const { choose } = this
    const some = (count: number) => Array.from({ length: count }, () => this.comparison(rows, long))
    const all = (inOrder ? this.inOrder(rows, long) : some(1 + choose.of([0, 1, 1, 2]))).reduce((a, b) => and(a, b))
    return apply("select", all, value, literal(identity, value.dtype))
  }
}

const kinds = [
  ...(["sum", "exp", "exp", "max", "moments", "exp", "sum", "min", "chain", "argmax", "product", "top"] as const),
  ...(["exp", "argmax", "exp", "moments"] as const),
]

/**
 * The kernel that a recipe stands for; run it inside of `withTable`. `lengths`: the extents of folded axes; `channels`: online folds only, with
 * an axis of that many elements which their scores do not have.
 */
export function buildFolds(
  { numbers }: FoldRecipe,
  lengths: readonly number[] = [12, 5, 8, 16, 1, 3, 33, 0],
  channels?: readonly number[],
): FoldKernel {
  const making = new Making(numbers)
  const { choose } = making
  const fold = choose.of(channels === undefined ? kinds : (["exp", "exp", "moments"] as const))
  const masked = choose.chance(75)
  const inOrder = masked && choose.chance(70)
  const symbolic = choose.chance(inOrder ? 75 : 40)
  const long: Axis = {
    name: key,
    extent: symbolic
      ? choose.of(inOrder ? [add(past(), seq()), add(past(), seq()), seq()] : [add(past(), seq()), seq(), past()])
      : literal(choose.of(lengths)),
  }
  const extent = () => (choose.chance(30) ? seq() : literal(choose.of([4, 3, 8, 5, 1, 2])))
  const rows = Array.from({ length: choose.of([1, 2, 1, 0]) }, (_, i): Axis => ({ name: `row${i}`, extent: extent() }))
  const wide: readonly Axis[] =
    channels !== undefined || choose.chance(60)
      ? [{ name: "wide", extent: literal(choose.of(channels ?? [4, 8, 3, 1, 16])) }]
      : []
  if (inOrder) rows[0] = { name: "row0", extent: symbolic ? seq() : literal(choose.of([3, 5, 8])) }
  const { values, regime } = valuesOf(making, fold, rows, wide, long, masked ? (inOrder ? "in order" : "any") : "none")
  const stores: Store[] = [storeOf(making, values.whole, [...rows, ...wide], 0)]
  const many = choose.of([0, 1, 0, 2])
  for (let i = 1; i <= many; i++) {
    const value = choose.of(values.parts)
    const moving = wide.some((a) => freeVariables(value).has(a.name)) || choose.chance(30)
    stores.push(storeOf(making, value, moving ? [...rows, ...wide] : rows, i))
  }
  const kernel = {
    name: "folds",
    buffers: making.buffers,
    items: choose.chance(20) ? stores.reverse() : stores,
    spans: [],
  }
  return { kernel, regime, fold, masked, beside: many }
}

/** The values of the widest store, and of those that have its folds but lack the wide axis. */
function valuesOf(
  making: Making,
  fold: FoldKernel["fold"],
  rows: readonly Axis[],
  wide: readonly Axis[],
  long: Axis,
  masked: "none" | "any" | "in order",
): {
  readonly values: { readonly whole: Expression; readonly parts: readonly Expression[] }
  readonly regime: Regime
} {
  const { choose } = making
  const lift = (value: Expression, identity: number) =>
    masked === "none" ? value : making.masked(value, identity, rows, long, masked === "in order")
  const of = (r: Reduce) => ({ values: { whole: weighed(making, r, wide), parts: [r] }, regime: "exact" as const })
  const simple = (m: typeof sum) =>
    of(
      reduce(key, long.extent, m, [
        lift(
          making.element([...rows, ...wide], long),
          m === sum ? 0 : m === max ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY,
        ),
      ]),
    )
  switch (fold) {
    case "sum":
      return simple(sum)
    case "max":
      return simple(max)
    case "min":
      return simple(min)
    case "chain": {
      const group: Axis = { name: "group", extent: literal(choose.of([2, 3, 1])) }
      const inner = reduce(key, long.extent, sum, [lift(making.element([...rows, ...wide, group], long), 0)])
      return of(reduce(group.name, group.extent, sum, [inner]))
    }
    case "argmax":
    case "top":
    case "product": {
      const value = lift(making.element([...rows, ...wide], long), Number.NEGATIVE_INFINITY)
      const index = choose.chance(30) ? add(variable(key), literal(3)) : variable(key)
      if (fold === "argmax") {
        const r = reduce(key, long.extent, argmax, [value, index])
        const at = apply("toF32", apply("min", component(r, 1), literal(100)))
        return { values: { whole: choose.of([at, component(r, 0)]), parts: [at] }, regime: "exact" }
      }
      if (fold === "top") {
        const r = reduce(key, long.extent, top(2), [value, index])
        const at = apply("toF32", apply("min", component(r, 1, literal(1)), literal(100)))
        return { values: { whole: at, parts: [component(r, 0, literal(0))] }, regime: "exact" }
      }
      const r = reduce(key, long.extent, product(max, sum), [value, making.operand([...rows, long])])
      return { values: { whole: component(r, 1), parts: [component(r, 0)] }, regime: "exact" }
    }
    case "exp":
    case "moments": {
      const score = lift(scoreOf(making, rows, long), Number.NEGATIVE_INFINITY)
      // Deviations of the lowest number that there is are no numbers.
      const safe = fold === "moments" && masked !== "none" ? apply("max", score, literal(-8, "f32")) : score
      const valued = recipeOf(fold).values
      const value = valued ? making.operand([...(choose.chance(30) ? rows : []), long, ...wide]) : literal(1, "f32")
      const one = literal(1, "f32")
      const r = reduce(key, long.extent, onlineMonoid(fold, 2), [safe, one, value])
      const pivots = recipeOf(fold).pivots.length
      const [total, sums] = [component(r, pivots), component(r, pivots + 1)]
      const alone = reduce(key, long.extent, onlineMonoid(fold, 1), [safe, one])
      const whole = choose.of([apply("div", sums, apply("add", total, literal(0.5, "f32"))), sums])
      const parts = [component(alone, pivots), component(r, 0), total, component(alone, 0)]
      return { values: { whole, parts }, regime: "analytic" }
    }
    default:
      return fold satisfies never
  }
}

/** Scores around 0, below it, or rising along the axis from far below it, so that pivots matter and move with each chunk. */
function scoreOf(making: Making, rows: readonly Axis[], long: Axis): Expression {
  const plain = mul(making.element(rows, long), literal(0.25, "f32"))
  const place = apply("toF32", variable(long.name))
  const rising = add(mul(place, literal(0.5, "f32")), literal(-12, "f32"))
  return making.choose.of([plain, add(plain, rising), add(plain, literal(-6, "f32"))])
}

/** A fold times what its point has, or itself. */
function weighed(making: Making, r: Expression, wide: readonly Axis[]): Expression {
  return making.choose.chance(40) ? add(r, making.operand(wide)) : r
}

/** A store over axes with names of their own, in an order of memory of its own. */
function storeOf(making: Making, given: Expression, axes: readonly Axis[], number: number): Store {
  const { choose } = making
  const free = new Map(axes.map((a) => [a.name, `${a.name}_${number}`] as const))
  const value = substitute(given, new Map([...free].map(([from, to]) => [from, variable(to)] as const)))
  const own = axes.map((a) => ({ name: free.get(a.name)!, extent: a.extent }))
  const order = choose.chance(15) ? [...own].reverse() : own
  const storage = given.dtype === "f32" ? "f32" : given.dtype
  return {
    kind: "store",
    buffer: making.buffer(
      storage,
      order.map((a) => Math.max(1, maximum(a.extent))),
    ),
    axes: own,
    index: order.map((a) => variable(a.name)),
    value,
  }
}
