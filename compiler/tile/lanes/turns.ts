/**
 * Turns of online folds over lanes: each takes some elements per group of lanes, the same number in all groups.
 *
 *   let v0 = v[key0, d : 8], v1 = …            what is folded, for all elements of the turn
 *   let p = q0 · k[key0, e : 8]; s0 = tree(p)  a score, of which each lane of the group has a part
 *   pivots, sums, channels take in (s0, v0), (s1, v1), …
 *
 * Factors of the scores that are the same for all elements stay in registers. Whole turns come first, then what is left, element by element,
 * where each group looks whether there is one for it. A long fold takes its turns in runs, as runs.ts says.
 */

import { literalExtent } from "../../ir/dim.js"
import {
  add,
  apply,
  freeVariables,
  identity,
  lane,
  literal,
  localRead,
  mul,
  substitute,
  variable,
} from "../../ir/expression.js"
import { longestLoop } from "../../ir/fold-lengths.js"
import type { Statement } from "../../ir/loop.js"
import type { Expression, Reduce } from "../../ir/nodes.js"
import { nodesOf, outermostFolds } from "../../ir/query.js"
import type { ReductionTile } from "../../ir/schedule.js"
import { assign } from "../accumulators.js"
import { Refused } from "../block.js"
import { append, combine } from "../fold.js"
import { laneTrees } from "../lane-trees.js"
import type { Lowerer, Scope } from "../lowerer.js"
import { inPairs, onlineExtend } from "../online-step.js"
import { createPairs, fitInLine, levelsFor, longestRun } from "../runs.js"
import { factorsOf } from "../staging/operands.js"
import { lowerValues } from "../values.js"
import type { VectorAxis } from "../vector.js"
import type { Groups } from "./groups.js"
import { type Counted, type Elements, mergeOfRows, openRows, type Row } from "./rows.js"

interface Turns {
  readonly rows: readonly Row[]
  readonly open: Elements
  readonly axis: string
  readonly counted: Counted
  readonly groups: Groups
  readonly folding: ReductionTile
}

/** Most vectors of a fold inside of a score that a lane takes: they are all in the text. */
const mostVectors = 16

/** Folds what counts into the elements of the rows, in each group of lanes what is its. */
export function emitTurns(t: Turns, scope: Scope, lowerer: Lowerer): void {
  const { counted, groups, folding } = t
  const solved = new Map(scope.solved)
  const spread = spreadFolds(t, { ...scope, solved }, lowerer)
  const steps = folding.innerUnroll ?? 1
  const peel = folding.peelTail !== false && steps > 1
  const several = literal(steps * groups.count)
  const upTo = (count: Expression, size: Expression) =>
    apply("floordiv", add(count, apply("sub", size, literal(1))), size)
  const turn = (first: Expression, count: number, guarded: boolean, open: Elements, out: Statement[], name: string) => {
    const bound = new Set(scope.bound).add(name)
    const keys = Array.from({ length: count }, (_, u) => add(first, add(literal(u * groups.count), groups.number)))
    emitTurn(t, spread, keys, guarded ? counted.end : undefined, open, { ...scope, solved, out, bound }, lowerer)
  }
  const full = peel ? apply("floordiv", counted.count, several) : upTo(counted.count, several)
  const runs = runsOf(t, steps, peel, lowerer)
  emitLoop(t, full, runs, scope.out, lowerer, (number, open, out, name) =>
    turn(add(counted.from, mul(number, several)), steps, !peel, open, out, name),
  )
  if (!peel) return
  const done = mul(full, several)
  const one = literal(groups.count)
  const rest = runs && { turns: steps, inLine: true, most: 1 }
  emitLoop(t, upTo(apply("sub", counted.count, done), one), rest, scope.out, lowerer, (number, open, out, name) =>
    turn(add(add(counted.from, done), mul(number, one)), 1, true, open, out, name),
  )
}

interface RunsOfTurns {
  readonly turns: number
  readonly inLine: boolean
  /** Runs at most. */
  readonly most: number
}

/**
 * The runs that the turns of one group are taken in, or none where one loop loses few digits. What a turn adds in pairs costs it as many
 * roundings as it has elements by powers of two, which the bound allows it.
 */
function runsOf(
  { axis, groups, folding: { run } }: Turns,
  steps: number,
  inPairs: boolean,
  lowerer: Lowerer,
): RunsOfTurns | undefined {
  const longest = lowerer.longest(axis)
  const long = lowerer.long(axis) || longest > longestLoop
  const turns = Math.max(1, Math.ceil(longest / (groups.count * steps)))
  if (long && steps > 1 && !inPairs)
    throw new Refused("reduce/run", `'${axis}' is long, and what is guarded for itself is not added in pairs`)
  if (long && run !== undefined && run > longestRun)
    throw new Refused("reduce/run", `runs of ${run} turns of '${axis}' lose digits; ${longestRun} is the most`)
  if (run === undefined && (!long || fitInLine(turns, 1))) return undefined
  const even = Math.ceil(Math.sqrt(turns))
  const length = run ?? (fitInLine(even, Math.ceil(turns / even)) ? even : longestRun)
  const most = Math.ceil(turns / length)
  return { turns: length, inLine: fitInLine(length, most), most }
}

/** A loop over turns, in runs or not, into the elements of the rows. */
function emitLoop(
  { rows, open, axis }: Turns,
  turns: Expression,
  runs: RunsOfTurns | undefined,
  out: Statement[],
  lowerer: Lowerer,
  emit: (number: Expression, open: Elements, out: Statement[], name: string) => void,
): void {
  if (literalExtent(turns) === 0) return
  const name = lowerer.fresh(axis)
  const body: Statement[] = []
  if (runs === undefined) {
    emit(variable(name), open, body, name)
    out.push({ kind: "for", variable: name, extent: turns, bind: "serial", body })
    return
  }
  const merge = mergeOfRows(rows, open)
  const total = merge.components
  const pairs = runs.inLine ? undefined : createPairs(merge, levelsFor(runs.most), out, lowerer)
  const run = lowerer.fresh(`${axis}_run`)
  const size = literal(runs.turns)
  const first = mul(variable(run), size)
  const around: Statement[] = []
  const own = openRows(rows, around, lowerer)
  emit(add(first, variable(name)), own, body, name)
  const left = apply("min", size, apply("sub", turns, first))
  around.push({ kind: "for", variable: name, extent: left, bind: "serial", body })
  if (pairs === undefined) assign(total, merge.combine(total, own.flat()), false, around, lowerer)
  else pairs.push(own.flat(), around)
  const all = apply("floordiv", add(turns, literal(runs.turns - 1)), size)
  out.push({ kind: "for", variable: run, extent: all, bind: "serial", body: around })
  pairs?.collapse(total, out)
}

/** A fold inside of a score that the lanes of a group share. */
interface Spread {
  readonly fold: Reduce
  /** By vector that a lane takes: the lift there, over the lanes of a vector. */
  readonly lifts: readonly Expression[]
  readonly vector: VectorAxis | undefined
}

/** The folds inside of scores that lanes share; their factors that are the same for all elements get names, before all turns. */
function spreadFolds(
  { rows, axis, groups }: Turns,
  scope: Scope & { readonly solved: Map<Expression, readonly Expression[]> },
  lowerer: Lowerer,
): readonly Spread[] {
  const found = new Set(rows.flatMap((r) => outermostFolds(r.score)))
  const shared = [...found].filter((r) => (lowerer.folding(r.axis).group ?? 1) > 1)
  const steady = new Map<number, Expression>()
  const vectors = new Map<number, VectorAxis | undefined>()
  return shared.map((fold): Spread => {
    const { group, vector: width = 1 } = lowerer.folding(fold.axis)
    const extent = literalExtent(fold.extent)
    const simple = fold.monoid.kind === "sum" || fold.monoid.kind === "max" || fold.monoid.kind === "min"
    if (group !== groups.size || !simple || nodesOf(fold.lift, "reduce", "scan").length > 0)
      throw new Refused("reduce/group", `the lanes of a group do not share the fold along '${fold.axis}'`)
    const count = (extent ?? 0) / (groups.size * width)
    if (!Number.isInteger(count) || count < 1 || count > mostVectors)
      throw new Refused("tile/indivisible", `${groups.size} lanes do not take all of '${fold.axis}' evenly`)
    const vector =
      vectors.get(width) ?? (width === 1 ? undefined : { name: lowerer.fresh("lane"), base: literal(0), width })
    vectors.set(width, vector)
    const [lift] = fold.lift as [Expression]
    const factors = fold.monoid.kind === "sum" ? factorsOf(lift) : [lift]
    const fixed = (x: Expression) => !freeVariables(x).has(axis) && nodesOf([x], "load", "localRead").length > 0
    const [kept, moving] = [factors.filter(fixed), factors.filter((f) => !fixed(f))]
    const lifts = Array.from({ length: count }, (_, p) => {
      const first = mul(add(literal(p * groups.size), groups.index), literal(width))
      const at = new Map([[fold.axis, vector === undefined ? first : add(first, variable(vector.name))]])
      const placed = kept.map((f) => substitute(f, at))
      const all = [...(placed.length === 0 ? [] : [keep(placed.reduce(mul))]), ...moving.map((f) => substitute(f, at))]
      return all.reduce(mul)
    })
    return { fold, lifts, vector }

    function keep(x: Expression): Expression {
      const known = steady.get(identity(x))
      if (known !== undefined) return known
      const read = localRead(lowerer.fresh("steady"), [], x.dtype)
      const bound = withLane(scope.bound, vector)
      const [value] = lowerValues([x], { ...scope, bound, vector }, lowerer)
      const own = lowerer.fresh("steady")
      scope.out.push({ kind: "let", name: own, value: value!, mutable: false })
      scope.solved.set(read, [variable(own, value!.dtype, value!.width)])
      steady.set(identity(x), read)
      return read
    }
  })
}

const withLane = (bound: ReadonlySet<string>, vector: VectorAxis | undefined): ReadonlySet<string> =>
  vector === undefined ? bound : new Set(bound).add(vector.name)

/** The elements at some keys into the elements of the rows; `end`: the keys may reach there, and then do not count. */
function emitTurn(
  t: Turns,
  spread: readonly Spread[],
  at: readonly Expression[],
  end: Expression | undefined,
  open: Elements,
  scope: Scope,
  lowerer: Lowerer,
): void {
  const { rows, axis } = t
  const { out } = scope
  const bound = new Set(scope.bound)
  const named = (stem: string, value: Expression): Expression => {
    if (value.kind === "variable" || value.kind === "literal") return value
    const name = lowerer.fresh(stem)
    out.push({ kind: "let", name, value, mutable: false })
    bound.add(name)
    return variable(name, value.dtype, value.width)
  }
  const keys = at.map((key) => named(axis, key))
  const counts = keys.map((key) => (end === undefined ? undefined : apply("lt", key, end)))
  const places = keys.map((key) =>
    end === undefined ? key : named(axis, apply("min", key, apply("sub", end, literal(1)))),
  )
  const inner: Scope = { ...scope, bound }
  const placed = (x: Expression, key: Expression) => substitute(x, new Map([[axis, key]]))
  // What is folded comes first: it takes longest to arrive.
  const wanted = places.map((key) => rows.map((r) => r.values.map((x) => placed(x, key))))
  const names = new Map<Expression, Expression>()
  const distinct = [...new Set(wanted.flat(2))]
  for (const [i, value] of lowerValues(distinct, inner, lowerer).entries())
    names.set(distinct[i]!, named("value", value))
  const scores = scoresAt(t, spread, places, placed, inner, named, lowerer)
  const taken = rows.map((_, i) => places.map((_, u) => [scores[u]![i]!, ...wanted[u]![i]!.map((x) => names.get(x)!)]))
  const extend = (which: readonly number[], body: Statement[]) => {
    const next = rows.flatMap(({ recipe, loose }, i) =>
      onlineExtend(
        recipe,
        open[i]!,
        which.map((u) => taken[i]![u]!),
        loose,
      ),
    )
    assign(open.flat(), next, false, body, lowerer)
  }
  if (end === undefined) {
    extend([...places.keys()], out)
    return
  }
  for (const [u, condition] of counts.entries()) {
    const body: Statement[] = []
    extend([u], body)
    out.push({ kind: "if", condition: condition!, body, otherwise: [] })
  }
}

/** The scores of all rows at some keys: their shared folds, each by a tree of the group, then what is made of them. */
function scoresAt(
  { rows, groups }: Turns,
  spread: readonly Spread[],
  keys: readonly Expression[],
  placed: (x: Expression, key: Expression) => Expression,
  scope: Scope,
  named: (stem: string, value: Expression) => Expression,
  lowerer: Lowerer,
): readonly (readonly Expression[])[] {
  const solved = new Map(scope.solved)
  const trees: { readonly fold: Reduce; readonly accumulator: readonly Expression[] }[] = []
  for (const vector of new Set(spread.map((s) => s.vector))) {
    const own = spread.filter((s) => s.vector === vector)
    const all = keys.flatMap((key) => own.map((s) => ({ ...s, key })))
    const bound = withLane(scope.bound, vector)
    const lifts = all.flatMap((s) => s.lifts.map((l) => placed(l, s.key)))
    const lowered = lowerValues(lifts, { ...scope, bound, vector }, lowerer)
    let from = 0
    for (const { fold, lifts: mine, key } of all) {
      const parts = lowered.slice(from, from + mine.length)
      from += mine.length
      const join = (a: Expression, b: Expression) => append(fold.monoid, [a], [b])[0]!
      const wide = named("part", inPairs(parts, join))
      const name = lowerer.fresh(fold.axis)
      scope.out.push({ kind: "let", name, value: acrossVector(fold, wide), mutable: true })
      const sum = variable(name, fold.dtype)
      trees.push({ fold, accumulator: [sum] })
      solved.set(placed(fold, key), [sum])
    }
  }
  laneTrees(trees, groups.lanes, scope.out, lowerer)
  const scores = keys.map((key) => rows.map((r) => placed(r.score, key)))
  const lowered = lowerValues(scores.flat(), { ...scope, solved, vector: undefined, lanes: undefined }, lowerer)
  let from = 0
  return scores.map((s) => s.map(() => named("score", lowered[from++]!)))
}

/** The lanes of a vector into one. */
function acrossVector(fold: Reduce, x: Expression): Expression {
  let parts = Array.from({ length: x.width }, (_, j) => lane(x, j))
  if (x.width === 1) parts = [x]
  for (; parts.length > 1; ) {
    const half = parts.length / 2
    parts = parts.slice(0, half).map((p, j) => combine(fold.monoid, [p], [parts[j + half]!])[0]!)
  }
  return parts[0]!
}
