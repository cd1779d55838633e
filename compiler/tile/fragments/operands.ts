/**
 * Operands: the folds of a store as products of what follows its rows and what follows its columns.
 *
 *   y[m, n] = sum_k(x[m, k] · r[m] · g[k] · w[n, k])   →   a[m, k] = x · r · g,   b[n, k] = w
 *
 * Axes that both follow are a batch. Which side is the rows of the atom follows from memory: columns lie in order. Folds of one extent share the axes of
 * the first, and what they have in common is one operand. Locals that are no folds are computed where they are read.
 */
import { literalExtent } from "../../ir/dim.js"
import { apply, freeVariables, mul, rewriter, substitute, variable } from "../../ir/expression.js"
import { bufferOf, type Kernel, type Store } from "../../ir/kernel.js"
import type { Half } from "../../ir/loop.js"
import type { AtomTarget, Terms } from "../../ir/machine.js"
import type { Expression, Load, Reduce } from "../../ir/nodes.js"
import { type Operation, roundToHalf } from "../../ir/operations.js"
import { nodesOf, outermostFolds } from "../../ir/query.js"
import type { Axis } from "../../ir/tensor.js"
import { Refused } from "../block.js"
import { factorsOf } from "../staging/operands.js"

/** One side of a product, over axes of the store and of its folds. */
export interface Operand {
  readonly value: Expression
  /** Values in the atom's storage that it is the sum of. */
  readonly terms: 1 | Terms
}

/** A fold as the product of two operands, by their numbers. */
export interface Product {
  readonly fold: Reduce
  readonly a: number
  readonly b: number
}

export interface Contraction {
  readonly stores: readonly Store[]
  readonly rows: readonly Axis[]
  readonly columns: readonly Axis[]
  /** The folded axes, outermost first; the last one comes in chunks. */
  readonly folded: readonly Axis[]
  readonly a: readonly Operand[]
  readonly b: readonly Operand[]
  readonly products: readonly Product[]
  /** Whether all bits of what is multiplied count. */
  readonly whole: boolean
}

/** The two sides of a lift: the axes of the store that each follows, and its value. */
interface Sides {
  readonly first: Side
  readonly second: Side
}
interface Side {
  readonly axes: readonly string[]
  readonly value: Expression
}

/**
 * The folds of a store, and of those made along with it over its axes, as products. `rowAxis`: an axis among the rows.
 *
 * @throws Refused where they are no such products
 */
export function contractionOf(
  given: readonly Store[],
  rowAxis: string | undefined,
  kernel: Kernel,
  made: Made,
): Contraction {
  const { axes } = given[0]!
  const over = withoutPlainLocals(kernel)
  const stores = given.map((s) => ({ ...s, value: over(s.value), index: s.index.map(over) }))
  const folds = [...new Set(stores.flatMap((s) => [s.value, ...s.index].flatMap(outermostFolds)))]
  const chains = folds.map(chainOf)
  const [first] = chains
  if (first === undefined) throw new Refused("atom/fold", "the store folds nothing")
  const names = axes.map((a) => a.name)
  const sides = chains.map((chain) => sidesOf(chain, first, names))
  const values = sides.flatMap((s) => [s.first.value, s.second.value])
  const folded = foldedOf(first, values, kernel)
  const [rows, columns] = inOrder(sides[0]!, stores[0]!, rowAxis)
  const [a, b]: [Expression[], Expression[]] = [[], []]
  const numberIn = (list: Expression[], x: Expression) => (list.includes(x) ? list.indexOf(x) : list.push(x) - 1)
  const products = sides.map(({ first: p, second: q }, i): Product => {
    const [row, column] = sameAxes(p.axes, rows) ? [p, q] : [q, p]
    if (!sameAxes(row.axes, rows) || !sameAxes(column.axes, columns))
      throw new Refused("atom/axes", "the folds of a store follow different rows or columns")
    return { fold: folds[i]!, a: numberIn(a, row.value), b: numberIn(b, column.value) }
  })
  const operand = (value: Expression) => operandOf(value, kernel, made)
  const alone = (own: readonly string[], others: readonly string[]) =>
    axes.filter((x) => own.includes(x.name) && !others.includes(x.name))
  const sidesOnly = { rows: alone(rows, columns), columns: alone(columns, rows) }
  const operands = { a: a.map(operand), b: b.map(operand) }
  if (products.some((p) => operands.a[p.a]!.terms === 3 && operands.b[p.b]!.terms === 3))
    throw new Refused("atom/fold", `products of what is not stored as ${made.storage} lose digits`)
  return { stores, ...sidesOnly, folded, ...operands, products, whole: made.terms === 3 }
}

/** Elements of an axis that is folded in chunks, where another is as well: those of a fragment. */
const leastOfChunk = 16

/** The axes of a chain. Sums may be taken in any order: the axis along which the largest of what is read lies in order comes last. */
export function foldedOf({ folds }: Chain, values: readonly Expression[], kernel: Kernel): readonly Axis[] {
  const axes = folds.map((r): Axis => ({ name: r.axis, extent: r.extent }))
  if (axes.length === 1 || axes.some((a) => literalExtent(a.extent) === undefined)) return axes
  const long = axes.filter((a) => literalExtent(a.extent)! >= leastOfChunk)
  const along = (l: Load) => long.find((a) => l.index.at(-1) === variable(a.name))
  const size = (l: Load) => bufferOf(kernel, l.buffer).shape.reduce((n, x) => n * x, 1)
  const [largest] = nodesOf(values, "load")
    .filter((l) => along(l) !== undefined)
    .sort((p, q) => size(q) - size(p))
  const last = largest && along(largest)
  return last === undefined ? axes : [...axes.filter((a) => a !== last), last]
}

/** The value over what locals without folds are made of. */
export function withoutPlainLocals(kernel: Kernel): (x: Expression) => Expression {
  const plain = new Map(
    kernel.items.flatMap((i) =>
      i.kind === "local" && nodesOf([i.value], "reduce", "scan").length === 0 ? [[i.name, i] as const] : [],
    ),
  )
  const over: (x: Expression) => Expression = rewriter((x, again) => {
    const local = x.kind === "localRead" ? plain.get(x.local) : undefined
    if (x.kind !== "localRead" || local === undefined) return undefined
    return over(substitute(local.value, new Map(local.axes.map((a, i) => [a.name, again(x.index[i]!)] as const))))
  })
  return over
}

/** A fold and those inside of it as one over several axes, outermost first, and the factors of what is folded. */
export interface Chain {
  readonly folds: readonly Reduce[]
  readonly factors: readonly Expression[]
}

/** Σ_j z[j] · Σ_i f[i, j] is Σ_j Σ_i z[j] · f[i, j]. */
export function chainOf(root: Reduce): Chain {
  const folds = [root]
  const factors: Expression[] = []
  for (let at = root; ; ) {
    const own = factorsOf(at.lift[0]!)
    const inner = own.filter((x) => x.kind === "reduce")
    const [next] = inner
    if (next === undefined || inner.length > 1) return { folds, factors: [...factors, ...own] }
    factors.push(...own.filter((x) => x !== next))
    folds.push(next)
    at = next
  }
}

/** The factors of what a chain folds, over the axes of the first chain. */
export function factorsOfChain(chain: Chain, like: Chain): readonly Expression[] {
  const { folds } = chain
  if (folds.length !== like.folds.length || folds.some((r, i) => r.extent !== like.folds[i]!.extent))
    throw new Refused("atom/fold", "folds of different extents do not share matrix units")
  for (const r of folds)
    if (r.monoid.kind !== "sum" || r.dtype !== "f32" || [...freeVariables(r.extent)].length > 0)
      throw new Refused("atom/fold", `'${r.axis}' is not folded by sums of f32 of one extent`)
  const axes = new Map(folds.map((r, i) => [r.axis, variable(like.folds[i]!.axis)] as const))
  const all = chain.factors.map((x) => substitute(x, axes))
  if (nodesOf(all, "reduce", "scan").length > 0) throw new Refused("atom/fold", "a fold inside of a product")
  return all
}

/** Splits what a chain folds, over the axes of the first chain. */
export function sidesOf(chain: Chain, like: Chain, names: readonly string[]): Sides {
  const all = factorsOfChain(chain, like)
  const own = (x: Expression) => names.filter((n) => freeVariables(x).has(n))
  const factors = all.map((x) => ({ x, axes: own(x) }))
  const within = (p: readonly string[], q: readonly string[]) => p.every((n) => q.includes(n))
  const widest = factors.filter(
    (f, i) => !factors.some((o, j) => within(f.axes, o.axes) && (!within(o.axes, f.axes) || j < i)),
  )
  const [p, q] = widest
  if (p === undefined || q === undefined || widest.length !== 2)
    throw new Refused("atom/fold", "a fold is no product of what follows rows and what follows columns")
  const isLoad = (f: (typeof factors)[number]) => f.x.kind === "load"
  const mine = factors.map((f) => {
    if (!within(f.axes, q.axes)) return p
    if (!within(f.axes, p.axes)) return q
    // What is as well in either goes where something is computed anyway.
    return factors.some((o) => !isLoad(o) && o !== f && within(o.axes, q.axes) && !within(o.axes, p.axes)) ? q : p
  })
  const side = (of: (typeof factors)[number]): Side => ({
    axes: of.axes,
    value: factors
      .filter((_, i) => mine[i] === of)
      .map((f) => f.x)
      .reduce((x, y) => mul(x, y)),
  })
  return { first: side(p), second: side(q) }
}

/** The axes of rows and of columns: columns lie in order in memory, unless an axis of the rows is named. */
function inOrder(
  { first, second }: Sides,
  store: Store,
  rowAxis: string | undefined,
): readonly [readonly string[], readonly string[]] {
  const last = store.index.at(-1)
  const along = last === undefined ? [] : [...freeVariables(last)]
  const only = (p: readonly string[], q: readonly string[], name: string) => p.includes(name) && !q.includes(name)
  const [p, q] = [first.axes, second.axes]
  if (rowAxis === undefined) return along.some((n) => only(p, q, n)) ? [q, p] : [p, q]
  if (only(p, q, rowAxis)) return [p, q]
  if (only(q, p, rowAxis)) return [q, p]
  throw new Refused("atom/axes", `'${rowAxis}' is on neither side of the product`)
}

const sameAxes = (p: readonly string[], q: readonly string[]) => p.length === q.length && p.every((n) => q.includes(n))

/** What operands are made of: halves, and so many of them where an f32 is no half. */
export interface Made {
  readonly storage: Half
  readonly terms: Terms
}

/** What the machine's units make of operands. */
export const madeOf = ({ storage, terms = 2 }: AtomTarget): Made => ({ storage, terms })

/** @throws Refused for halves whose range may not hold what is multiplied */
export function operandOf(value: Expression, kernel: Kernel, { storage, terms }: Made): Operand {
  if (storage === "f16") {
    if (!isHeld(value, kernel)) throw new Refused("atom/fold", "what is not stored as f16 may be beyond its range")
    return { value, terms: 1 }
  }
  const alone = (terms === 3 ? isStored : isOfStored)(value, kernel, storage)
  return { value, terms: alone ? 1 : terms }
}

/** What lies in memory, where it counts: always, or where a condition holds. Elsewhere there are zeros. */
export interface Stored {
  readonly load: Load
  readonly counts: Expression | undefined
}

/**
 * A value that is read as it is.
 *
 *   select(i > 0, x[select(i > 0, i − 1, 0), c], 0)   →   x[i − 1, c], where i > 0
 */
export function storedOf(value: Expression): Stored | undefined {
  const held = new Set<Expression>()
  const known = rewriter((x, again) =>
    x.kind === "operation" && x.operation === "select" && held.has(x.args[0]!) ? again(x.args[1]!) : undefined,
  )
  const conditions: Expression[] = []
  let at = value
  while (at.kind === "operation" && at.operation === "select") {
    const [condition, own, other] = at.args as readonly [Expression, Expression, Expression]
    if (other.kind !== "literal" || other.value !== 0) return undefined
    conditions.push(known(condition))
    held.add(condition)
    at = own
  }
  if (at.kind !== "load") return undefined
  const counts = conditions.length === 0 ? undefined : conditions.reduce((p, q) => apply("and", p, q))
  return { load: known(at) as Load, counts }
}

/** Whether a value lies in memory in the atom's storage. */
function isStored(value: Expression, kernel: Kernel, storage: Half): boolean {
  const stored = storedOf(value)
  return stored !== undefined && isHalf(stored.load, kernel, storage)
}

const isHalf = (x: Load, kernel: Kernel, storage: Half): boolean =>
  x.dtype === "f32" && bufferOf(kernel, x.buffer).storage === storage

/** Whether it is made of nothing that was kept in f32: it is rounded once more then. */
function isOfStored(value: Expression, kernel: Kernel, storage: Half): boolean {
  const loads = nodesOf([value], "load").filter((l) => l.dtype === "f32")
  return loads.every((l) => isHalf(l, kernel, storage)) && nodesOf([value], "localRead").length === 0
}

/** Whether f16 holds a value as it is: it is stored so, or one of several that are, whatever its sign. */
function isHeld(x: Expression, kernel: Kernel): boolean {
  switch (x.kind) {
    case "load":
      return bufferOf(kernel, x.buffer).storage === "f16"
    case "literal":
      return x.dtype === "f32" && roundToHalf(x.value) === x.value
    case "operation": {
      const chosen = x.operation === "select" ? x.args.slice(1) : x.args
      return keeping.has(x.operation) && chosen.every((arg) => isHeld(arg, kernel))
    }
    default:
      return false
  }
}

/** Operations whose results are among what they are given, but for the sign. */
const keeping: ReadonlySet<Operation> = new Set(["select", "neg", "abs", "min", "max"])
