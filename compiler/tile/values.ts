/**
 * Values with reductions into loops: the statements that compute them, and what is left as expressions.
 *
 *   [sum_{k}(x[s, k] · w[o, k]), sum_{k}(x[s, k] · w[o + 1, k])]   →   let a = 0; let b = 0; for k { x = …; a += …; b += … }   [a, b]
 *
 * Values are lowered together: reductions of one extent share a loop, so register tiles and sibling stores read an operand once. A reduction
 * is computed at the outermost place where its free variables are bound. Along a folded axis the schedule may ask for vectors (with a
 * horizontal fold after the loop, and a scalar loop for the rest) or for lanes (with a tree over shared memory).
 */

import { literalExtent } from "../ir/dim.js"
import {
  add,
  apply,
  freeVariables,
  isLiteral,
  literal,
  mul,
  operands,
  reduce,
  rewrite,
  substitute,
  variable,
  vector,
} from "../ir/expression.js"
import { elementsInside } from "../ir/fold-lengths.js"
import type { Statement } from "../ir/loop.js"
import type { Expression, Reduce } from "../ir/nodes.js"
import { nodesOf } from "../ir/query.js"
import type { ReductionTile } from "../ir/schedule.js"
import {
  accumulate,
  assign,
  declare,
  foldOfLanes,
  horizontal,
  type LaneGroup,
  share,
  unflatten,
} from "./accumulators.js"
import { combine, isPlain, isSelective } from "./fold.js"
import { laneTrees, ofLane, ranksOf } from "./lane-trees.js"
import type { Lowerer, Scope } from "./lowerer.js"
import { type Around, createRuns, emitTurns, fitInLine, type Runs, runOf, type Sets } from "./runs.js"
import { translator } from "./translate.js"
import type { VectorAxis } from "./vector.js"

/** Emits what `values` need into `scope.out`; answers with expressions of the loop language. */
export function lowerValues(values: readonly Expression[], scope: Scope, lowerer: Lowerer): readonly Expression[] {
  const plain = values.map(scansAsReductions)
  const solved = solve(plain, scope, lowerer)
  const translate = translator({ ...scope, solved }, lowerer)
  return share(plain.map(translate), scope.out, lowerer)
}

/** Emits the reductions of `values` that can be computed here, without the values themselves. */
export function solve(
  values: readonly Expression[],
  scope: Scope,
  lowerer: Lowerer,
): ReadonlyMap<Expression, readonly Expression[]> {
  const solved = new Map(scope.solved)
  for (;;) {
    const computable = (r: Reduce) => !solved.has(r) && [...freeVariables(r)].every((n) => scope.bound.has(n))
    const available = new Set(nodesOf(values, "reduce").filter(computable))
    const ready = [...available].filter((r) => !mentions(r, available, solved))
    const [first] = ready
    if (first === undefined) return solved
    const together = ready.filter(
      (r) =>
        r.extent === first.extent &&
        sameFolding(lowerer.folding(r.axis), lowerer.folding(first.axis)) &&
        inLanes(r, scope) === inLanes(first, scope),
    )
    if (together.every((r) => isOneVector(r, scope, lowerer))) {
      const sums = foldsOfLanes(together, { ...scope, solved }, lowerer)
      for (const [i, r] of together.entries()) solved.set(r, [sums[i]!])
      continue
    }
    // What is the same in all lanes of a vector is folded once. Lanes exchange single values.
    const vector = inLanes(first, scope) ? scope.vector : undefined
    const here = { ...scope, solved, vector, lanes: vector === undefined ? scope.lanes : undefined }
    for (const [r, accumulator] of fold(together, here, lowerer)) solved.set(r, accumulator)
  }
}

/** Whether a reduction differs between the lanes of the vector. */
const inLanes = (r: Reduce, { vector }: Scope): boolean => vector !== undefined && freeVariables(r).has(vector.name)

/** Whether a reduction is one vector along its own axis, and another one in each lane of the vector around it. */
function isOneVector(r: Reduce, scope: Scope, lowerer: Lowerer): boolean {
  const { vector, accumulators, group } = lowerer.folding(r.axis)
  const fits = inLanes(r, scope) && vector === scope.vector!.width && literalExtent(r.extent) === vector
  return (
    fits &&
    accumulators === undefined &&
    group === undefined &&
    isPlain(r.monoid) &&
    nodesOf(r.lift, "reduce", "scan").length === 0
  )
}

/** Vectors along the own axes of reductions for each lane of the vector around them; what each folds to is a lane of its result. */
function foldsOfLanes(group: readonly Reduce[], scope: Scope, lowerer: Lowerer): readonly Expression[] {
  const { name, base, width } = scope.vector!
  const lanes = Array.from({ length: width }, (_, j) => new Map([[name, add(base, literal(j))]]))
  const own = lanes.flatMap((at) => group.map((r) => substitute(r, at) as Reduce))
  const wide = wideLifts(own, { base: literal(0), width }, { ...scope, vector: undefined }, lowerer)
  const lifted = named(wide, scope.out, lowerer)
  return group.map((r, i) => vector(lanes.map((_, j) => foldOfLanes(r, lifted[j * group.length + i]!, width)[0]!)))
}

/** Whether a reduction waits for another one that is to be computed first. */
const mentions = (r: Reduce, available: ReadonlySet<Reduce>, solved: ReadonlyMap<Expression, unknown>): boolean =>
  nodesOf(operands(r), "reduce").some((x) => available.has(x) && !solved.has(x))

const sameFolding = (a: ReductionTile, b: ReductionTile) =>
  a.vector === b.vector &&
  a.group === b.group &&
  a.accumulators === b.accumulators &&
  a.innerUnroll === b.innerUnroll &&
  a.run === b.run

/** A prefix up to `at` is a reduction of extent at + 1. */
export function scansAsReductions(x: Expression): Expression {
  return rewrite(x, (s, again) =>
    s.kind === "scan" ? reduce(s.axis, add(again(s.at), literal(1)), s.monoid, s.lift.map(again)) : undefined,
  )
}

/**
 * One loop nest for reductions of one extent. A fold whose lift is a fold of the same kind (Σ_kv Σ_dim …) is one fold over several axes: the
 * accumulators stand outside of all loops.
 */
function fold(
  group: readonly Reduce[],
  scope: Scope,
  lowerer: Lowerer,
): ReadonlyMap<Expression, readonly Expression[]> {
  const { group: count, vector = 1, accumulators: side = 1, innerUnroll = 1 } = lowerer.folding(group[0]!.axis)
  const lanes = count === undefined ? undefined : scope.lanes
  const together = vector * side * innerUnroll
  const own = lanes === undefined ? group : group.map((r) => ofLane(r, lowerer.longest(r.axis), together, lanes))
  const accumulators = own.map((r) => declare(r, scope.vector?.width ?? 1, scope.out, lowerer))
  const after: Statement[] = []
  let inner: Scope = scope
  let leaves = own
  let [around, long, alike] = [1, false, true]
  const open: {
    readonly name: string
    readonly extent: Expression
    readonly body: Statement[]
    readonly out: Statement[]
  }[] = []
  for (let next = nested(leaves, lowerer); next !== undefined; next = nested(leaves, lowerer)) {
    const name = lowerer.fresh(leaves[0]!.axis)
    around *= lowerer.longest(leaves[0]!.axis)
    long ||= lowerer.long(leaves[0]!.axis)
    alike &&= alikeInLanes(leaves[0]!.extent)
    const axes = new Map(leaves.map((r) => [r.axis, variable(name)] as const))
    const body: Statement[] = []
    open.push({ name, extent: translator(inner, lowerer)(leaves[0]!.extent), body, out: inner.out })
    inner = { ...inner, out: body, bound: new Set(inner.bound).add(name) }
    leaves = next.map((r) => substitute(r, axes) as Reduce)
    const solved = solve(
      leaves.flatMap((r) => [r.extent, ...r.lift]),
      { ...inner, lanes: undefined },
      lowerer,
    )
    inner = { ...inner, solved }
  }
  foldLeaves(
    leaves,
    accumulators,
    inner,
    { out: scope.out, after, turns: around, nested: open.length > 0, long, alike },
    lowerer,
  )
  for (const { name, extent, body, out } of open.reverse())
    out.push({ kind: "for", variable: name, extent, bind: "serial", body })
  scope.out.push(...after)
  const shared = lowerer.folding(leaves[0]!.axis).group === undefined ? undefined : scope.lanes
  if (shared === undefined) return new Map(group.map((r, i) => [r, accumulators[i]!] as const))
  const parts = own.map((fold, i) => ({ fold, accumulator: accumulators[i]!, ranks: ranksOf(group[i]!) }))
  const results = laneTrees(parts, shared, scope.out, lowerer)
  return new Map(group.map((r, i) => [r, results[i]!] as const))
}

/** The inner folds, when each of the group folds one of the same kind and these can share a loop. */
function nested(group: readonly Reduce[], lowerer: Lowerer): readonly Reduce[] | undefined {
  const inner = group.map((r) => r.lift[0]!)
  const [first] = inner
  const fits = (x: Expression, i: number): x is Reduce =>
    x.kind === "reduce" &&
    isPlain(x.monoid) &&
    x.monoid.kind === group[i]!.monoid.kind &&
    freeVariables(x).has(group[i]!.axis) &&
    !freeVariables(x.extent).has(group[i]!.axis)
  if (first?.kind !== "reduce" || !inner.every(fits)) return undefined
  const reduces = inner as readonly Reduce[]
  const together = reduces.every(
    (r) => r.extent === first.extent && sameFolding(lowerer.folding(r.axis), lowerer.folding(first.axis)),
  )
  return together && lowerer.folding(group[0]!.axis).group === undefined ? reduces : undefined
}

/** The innermost loop: wide with several accumulators, and a scalar one for the rest. */
function foldLeaves(
  group: readonly Reduce[],
  accumulators: readonly (readonly Expression[])[],
  scope: Scope,
  around: Around,
  lowerer: Lowerer,
): void {
  const wanted = lowerer.folding(group[0]!.axis)
  const extent = translator(scope, lowerer)(group[0]!.extent)
  const steady = group.every((r) => isPlain(r.monoid) && !r.lift.some((x) => stepsInside(x, r.axis)))
  const wide = scope.vector === undefined && wanted.vector !== undefined && steady
  const width = wide ? wanted.vector! : 1
  const copies = wide ? (wanted.accumulators ?? 1) : 1
  const step = width * copies
  const lanes = scope.lanes !== undefined && wanted.group !== undefined ? scope.lanes : undefined
  // Lanes that do not share this fold go through it side by side, and may share those inside.
  const sideBySide = lanes === undefined && around.alike && alikeInLanes(group[0]!.extent)
  const inner: Scope = { ...scope, lanes: sideBySide ? scope.lanes : undefined }
  const longest = lowerer.longest(group[0]!.axis)
  const long = around.long || lowerer.long(group[0]!.axis)
  const inside = elementsInside(group, lowerer.longest)
  const run = runOf(group, long ? Number.POSITIVE_INFINITY : around.turns * longest, inside, wanted.run)
  const most = Math.ceil(Math.ceil(longest / step) / (lanes?.count ?? 1))
  const turns = run === undefined || (!around.nested && most <= run) ? undefined : run
  // No run is shorter than another, nothing is left over, and what is side by side is merged by pairs to the end.
  const size = literalExtent(extent)
  const beside = step * (lanes?.count ?? 1)
  const alone = !around.nested && !long && inside === 1 && (beside & (beside - 1)) === 0
  const even = alone && size !== undefined && size % (beside * (turns ?? 1)) === 0
  const runs = (turns: number | undefined, totals: Sets[number], steps: number, sets = 1): Runs | undefined => {
    if (turns === undefined) return undefined
    const most = around.turns * Math.ceil(steps / turns)
    const inLine = even && fitInLine(turns, most, true)
    return createRuns(group, totals, { turns, sets, most, inLine }, around, lowerer)
  }
  if (step === 1) {
    const elements = literalExtent(extent)
    const divides = turns === undefined && elements !== undefined && elements % (wanted.innerUnroll ?? 1) === 0
    const together = divides ? (wanted.innerUnroll ?? 1) : 1
    const sets = Array.from({ length: together }, () => accumulators)
    const count = together === 1 ? extent : literal(elements! / together)
    loop(group, sets, count, 1, lanes, inner, lowerer, runs(turns, accumulators, most))
    return
  }
  const whole = apply("floordiv", extent, literal(step))
  if (literalExtent(whole) !== 0) {
    const sets =
      turns === undefined
        ? Array.from({ length: copies }, () => group.map((r) => declare(r, width, around.out, lowerer)))
        : [group.map((r) => declare(r, width, around.out, lowerer))]
    const unroll = wanted.innerUnroll ?? 1
    loop(group, sets, whole, width, lanes, inner, lowerer, runs(turns, sets[0]!, most, copies), unroll)
    for (const [i, r] of group.entries()) {
      const [first, ...others] = sets.map((set) => set[i]!)
      for (const other of others) assign(first!, combine(r.monoid, first!, other), true, around.after, lowerer)
      horizontal(r, accumulators[i]!, first!, width, around.after, lowerer)
    }
  }
  if (size !== undefined && size % step === 0) return
  const done = mul(whole, literal(step))
  const tail: Statement[] = []
  // What is left over after each of the loops around is many elements again.
  const many = run !== undefined && (around.nested || step > run)
  const tailRuns = many ? runs(run, accumulators, step) : undefined
  tailLoop(group, accumulators, apply("sub", extent, done), done, { ...inner, out: tail }, lowerer, tailRuns)
  if (lanes === undefined) scope.out.push(...tail)
  else scope.out.push({ kind: "if", condition: apply("eq", lanes.index, literal(0)), body: tail, otherwise: [] })
}

/** Whether all lanes of a workgroup know an extent to be the same: nothing of it comes from memory or from where a lane is. */
export const alikeInLanes = (extent: Expression): boolean =>
  freeVariables(extent).size === 0 && nodesOf([extent], "load", "localRead", "reduce", "scan").length === 0

/** Whether a fold inside of `x` ends elsewhere in each lane along `axis`: a prefix up to it. Such a loop cannot be a vector's. */
export const stepsInside = (x: Expression, axis: string): boolean =>
  nodesOf([x], "reduce", "scan").some((o) => freeVariables(o.kind === "scan" ? o.at : o.extent).has(axis))

/**
 * for i: accumulate the lift at i (or at the i-th vectors, one per set of accumulators). Lanes of a group take turns. With runs the
 * accumulators are theirs.
 */
function loop(
  group: readonly Reduce[],
  given: Sets,
  extent: Expression,
  width: number,
  lanes: LaneGroup | undefined,
  scope: Scope,
  lowerer: Lowerer,
  runs?: Runs,
  unroll = 1,
): void {
  const turns =
    lanes === undefined ? extent : apply("floordiv", add(extent, literal(lanes.count - 1)), literal(lanes.count))
  const emit = (turn: Expression, sets: Sets, out: Statement[]) => {
    const at = lanes === undefined ? turn : add(mul(turn, literal(lanes.count)), lanes.index)
    const body: Statement[] = []
    const inside: Scope = { ...scope, out: body, bound: new Set([...scope.bound, ...freeVariables(at)]) }
    const bases = sets.map((_, copy) => add(mul(at, literal(width * sets.length)), literal(copy * width)))
    // Folds inside of several elements share one pass; and while one element is looked at the next is under way.
    const apart = group.some((r) => isSelective(r.monoid))
    const inner = group.flatMap((r) => r.lift)
    const together = width === 1 && sets.length > 1 && (apart || nodesOf(inner, "reduce").length > 0)
    const made = together ? liftsTogether(group, bases, inside, lowerer) : undefined
    const lifted = apart ? made?.map((of) => named(of, body, lowerer)) : made
    for (const [copy, accumulators] of sets.entries()) {
      const base = bases[copy]!
      const own =
        lifted?.[copy] ??
        (width === 1 ? lifts(group, base, inside, lowerer) : wideLifts(group, { base, width }, inside, lowerer))
      accumulate(group, accumulators, own, body, lowerer)
    }
    const size = literalExtent(extent)
    const guarded = lanes !== undefined && (size === undefined || size % lanes.count !== 0)
    if (guarded) out.push({ kind: "if", condition: apply("lt", at, extent), body, otherwise: [] })
    else out.push(...body)
  }
  emitTurns(group, turns, given, scope, lowerer, runs, emit, unroll)
}

function tailLoop(
  group: readonly Reduce[],
  accumulators: readonly (readonly Expression[])[],
  extent: Expression,
  from: Expression,
  scope: Scope,
  lowerer: Lowerer,
  runs?: Runs,
): void {
  emitTurns(group, extent, [accumulators], scope, lowerer, runs, (turn, [set], body) => {
    const bound = new Set([...scope.bound, ...freeVariables(turn)])
    const lifted = lifts(group, add(from, turn), { ...scope, out: body, bound }, lowerer)
    accumulate(group, set!, lifted, body, lowerer)
  })
}

/** The lifts of a group at a point of the folded axis, lowered together. */
export const lifts = (group: readonly Reduce[], at: Expression, scope: Scope, lowerer: Lowerer) =>
  liftsTogether(group, [at], scope, lowerer)[0]!

/** The lifts of a group at several points of the folded axis, lowered together: per point, per fold. */
function liftsTogether(
  group: readonly Reduce[],
  points: readonly Expression[],
  scope: Scope,
  lowerer: Lowerer,
): readonly Sets[number][] {
  const placed = points.flatMap((at) => group.map((r) => r.lift.map((l) => substitute(l, new Map([[r.axis, at]])))))
  const lowered = unflatten(lowerValues(placed.flat(), scope, lowerer), placed)
  return points.map((_, i) => lowered.slice(i * group.length, (i + 1) * group.length))
}

function wideLifts(
  group: readonly Reduce[],
  axis: Omit<VectorAxis, "name">,
  scope: Scope,
  lowerer: Lowerer,
): readonly (readonly Expression[])[] {
  const name = lowerer.fresh("lane")
  const bound = new Set(scope.bound).add(name)
  return lifts(group, variable(name), { ...scope, bound, vector: { ...axis, name } }, lowerer)
}

/** Lifted tuples under names, that of what is not computed its own. */
const named = (lifted: Sets[number], out: Statement[], lowerer: Lowerer): Sets[number] =>
  lifted.map((tuple) =>
    tuple.map((value) => {
      if (isLiteral(value) || value.kind === "variable") return value
      const name = lowerer.fresh("lifted")
      out.push({ kind: "let", name, value, mutable: false })
      return variable(name, value.dtype, value.width)
    }),
  )
