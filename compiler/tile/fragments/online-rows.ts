/**
 * The rows of an online fold by matrix units: what a lane does with the scores that its registers hold.
 *
 *   registers 0 1 4 5 of row 3, registers 2 3 6 7 of row 11     →   for each row: pivot = max over its registers, and over lanes ^ 1, ^ 2;  weights;  their sums
 *
 * All lanes that hold a row have its pivots and sums. Results follow the pivots before a chunk's part is added.
 */
import {
  add,
  apply,
  fetch,
  freeVariables,
  literal,
  mul,
  rewriter,
  substitute,
  variable,
  vector,
} from "../../ir/expression.js"
import { type Atom, fragmentSize } from "../../ir/fragments/atoms.js"
import { foldOf, at as placeIn } from "../../ir/fragments/layout.js"
import type { Statement } from "../../ir/loop.js"
import { identityValue } from "../../ir/monoid.js"
import type { Expression, Reduce } from "../../ir/nodes.js"
import { nodesOf, outermostFolds } from "../../ir/query.js"
import { instantiate, numbered } from "../../ir/terms.js"
import { assign } from "../accumulators.js"
import { laneVariable, Refused } from "../block.js"
import type { Lowerer, Scope } from "../lowerer.js"
import { pivotOperation } from "../online-step.js"
import { spanOf } from "../pipeline.js"
import { allCount } from "../range.js"
import { lowerValues, scansAsReductions } from "../values.js"
import type { OnlineBlock } from "./online-block.js"
import { readableAt } from "./places.js"
import type { Groups } from "./registers.js"
import { storeTerms } from "./staged.js"

/** How the registers of a fragment are those of rows: `outer` times `each` neighbours of each of `rows` rows. */
export interface RegisterRows {
  readonly rows: number
  readonly each: number
  readonly outer: number
}

function registerRows({ c, m, n, lanes, name }: Atom): RegisterRows {
  const bits = c.layout!.register
  const first = bits.findIndex((b) => b.axis === "row")
  const count = bits.filter((b) => b.axis === "row").length
  if (bits.slice(first, first + count).some((b) => b.axis !== "row"))
    throw new Refused("atom/fold", `the rows of '${name}' do not lie in order in its registers`)
  const [rows, each] = [2 ** count, 2 ** first]
  return { rows, each, outer: (m * n) / lanes / rows / each }
}

/** A row that a lane holds registers of: in fragments `down` of its group, the one of number `row` in each. */
export interface HeldRow {
  readonly down: number
  readonly row: number
  /** Its place among the block's rows. */
  readonly place: Expression
  /** Where it may be read. */
  readonly at: ReadonlyMap<string, Expression>
  readonly pivots: readonly Expression[]
  /** Of the channels that are added up; undefined for those that are multiplied. */
  readonly sums: readonly (Expression | undefined)[]
}

/** Variables for the rows of a lane. */
export function openRows(block: OnlineBlock, scope: Scope, lowerer: Lowerer): readonly HeldRow[] {
  const { of, scores, rows, fixed } = block
  const { atom, down, row: start } = scores
  const held = registerRows(atom)
  const open = (stem: string, value: Expression, mutable = true): Expression => {
    const name = lowerer.fresh(stem)
    scope.out.push({ kind: "let", name, value, mutable })
    return variable(name, value.dtype)
  }
  return Array.from({ length: down * held.rows }, (_, n): HeldRow => {
    const [i, row] = [Math.floor(n / held.rows), n % held.rows]
    const within = placeIn(atom.c.layout!, laneVariable, row * held.each).row
    const [lowered] = lowerValues([add(add(start, literal(i * atom.m)), within)], scope, lowerer)
    const place = open("row", lowered!, false)
    // What the block holds of its rows ends where they do.
    const own = rows.count < rows.places ? apply("min", place, literal(rows.count - 1)) : place
    return {
      down: i,
      row,
      place,
      at: new Map([...fixed, ...readableAt(rows, own)]),
      pivots: of.recipe.pivots.map((p) => open("pivot", literal(identityValue(p.fold, "f32"), "f32"))),
      sums: of.channels.map((c) => (c.kind === "sum" ? open("sum", literal(0, "f32")) : undefined)),
    }
  })
}

/** A register of a row, where it stands in loops over those of a group. */
export interface RegisterAt {
  /** Of all that the lane has. */
  readonly register: Expression
  /** The column that it holds. */
  readonly column: Expression
}

/** Emits statements for the registers of a row, neighbours side by side. */
export function eachRegister(
  { atom, across, column }: Groups,
  { down, row }: Pick<HeldRow, "down" | "row">,
  scope: Scope,
  lowerer: Lowerer,
  emit: (registers: readonly RegisterAt[], inside: Scope) => void,
): void {
  const { rows, each, outer } = registerRows(atom)
  const size = fragmentSize(atom, "c")
  const [j, part] = [lowerer.fresh("across"), lowerer.fresh("part")]
  const first = mul(variable(part), literal(rows * each))
  const beyond = placeIn(atom.c.layout!, literal(0), first).column
  const fragment = add(mul(variable(j), literal(size)), literal(down * across * size + row * each))
  const body: Statement[] = []
  const registers = Array.from({ length: each }, (_, x): RegisterAt => {
    const own = placeIn(atom.c.layout!, laneVariable, x).column
    return {
      register: add(add(fragment, first), literal(x)),
      column: add(add(add(column, mul(variable(j), literal(atom.n))), beyond), own),
    }
  })
  emit(registers, { ...scope, out: body, bound: new Set([...scope.bound, j, part]) })
  const inner: Statement = { kind: "for", variable: part, extent: literal(outer), bind: "unroll", body }
  scope.out.push({ kind: "for", variable: j, extent: literal(across), bind: "unroll", body: [inner] })
}

export interface OpenChunk {
  readonly block: OnlineBlock
  readonly rows: readonly HeldRow[]
  /** Registers of the scores, of the weights' terms, and of the results. */
  readonly scores: string
  readonly weights: readonly string[]
  readonly results: readonly string[]
  /** The number of the chunk. */
  readonly number: Expression
}

/** What products left becomes scores, and those weights; pivots, sums and results follow. */
export function emitWeights(c: OpenChunk, scope: Scope, lowerer: Lowerer): void {
  emitScores(c, scope, lowerer)
  for (const row of c.rows) {
    const moved = movePivots(c, row, scope, lowerer)
    advanceRow(c, row, moved, scope, lowerer)
    assign(row.pivots, moved, true, scope.out, lowerer)
    weighRow(c, row, scope, lowerer)
  }
}

/** Scores from products; elements that do not count have the one that counts for nothing. */
function emitScores({ block, rows, scores, number }: OpenChunk, scope: Scope, lowerer: Lowerer): void {
  const { of, chunk, axes, mask } = block
  const base = mul(number, literal(chunk))
  const last = add(base, literal(chunk - 1))
  const emit = (value: Expression, whole: boolean): readonly Statement[] => {
    const out: Statement[] = []
    const reads = !whole && readsAlong(value, of.fold.axis)
    for (const row of rows)
      eachRegister(block.scores, row, { ...scope, out }, lowerer, (registers, inside) => {
        for (const { register, column } of registers) {
          const key = lowerer.fresh(of.fold.axis)
          const [element] = lowerValues([add(base, column)], inside, lowerer)
          inside.out.push({ kind: "let", name: key, value: element!, mutable: false })
          const bound = new Set(inside.bound).add(key)
          const read = reads ? apply("min", variable(key), add(of.fold.extent, literal(-1))) : variable(key)
          const score = scansAsReductions(substitute(value, new Map([...row.at, [of.fold.axis, read]])))
          const [product] = outermostFolds(score) as [Reduce]
          const solved = new Map(inside.solved).set(product, [fetch(scores, register, "f32")])
          const counts = apply("lt", variable(key), of.fold.extent)
          const own = whole ? score : apply("select", counts, score, literal(of.recipe.absent!, "f32"))
          const [lowered] = lowerValues([own], { ...inside, bound, solved }, lowerer)
          inside.out.push({ kind: "store", array: scores, offset: register, value: lowered! })
        }
      })
    return out
  }
  const part = emit(of.fold.lift[0]!, false)
  const spans = new Map(axes.map((a) => [a.axis.name, spanOf(a)] as const)).set(of.fold.axis, { low: base, high: last })
  const all = mask === undefined ? literal(1, "bool") : allCount(mask, spans)
  const [condition] = lowerValues([apply("and", apply("lt", last, of.fold.extent), all)], scope, lowerer)
  const whole = emit(mask?.value ?? of.fold.lift[0]!, true)
  scope.out.push({ kind: "if", condition: condition!, body: whole, otherwise: part })
}

/** Whether a score reads something that follows the elements, beside its product: beyond the end there is none. */
function readsAlong(score: Expression, axis: string): boolean {
  const folds = new Set<Expression>(outermostFolds(score))
  const rest = rewriter((x) => (folds.has(x) ? literal(0, "f32") : undefined))(score)
  return nodesOf([rest], "load", "localRead").some((x) => freeVariables(x).has(axis))
}

/** The pivots of a row with this chunk. */
function movePivots({ block, scores }: OpenChunk, row: HeldRow, scope: Scope, lowerer: Lowerer): readonly Expression[] {
  const { of } = block
  return of.recipe.pivots.map((pivot, i) => {
    const operation = pivotOperation(pivot, of.loose)
    const seen = variableOf("seen", literal(identityValue(pivot.fold, "f32"), "f32"), scope, lowerer)
    eachRegister(block.scores, row, scope, lowerer, (registers, { out }) => {
      for (const { register } of registers) {
        const value = apply(operation, seen, instantiate(pivot.of, { $0: fetch(scores, register, "f32") }))
        out.push({ kind: "assign", name: seen.name, value })
      }
    })
    exchange(seen, (p, q) => apply(operation, p, q), block.scores.atom, scope, lowerer)
    const name = lowerer.fresh("moved")
    scope.out.push({ kind: "let", name, value: apply(operation, row.pivots[i]!, seen), mutable: false })
    return variable(name, "f32")
  })
}

/** Folds a variable over the lanes that hold a row. */
function exchange(
  x: Expression & { kind: "variable" },
  fold: (p: Expression, q: Expression) => Expression,
  atom: Atom,
  { out }: Scope,
  lowerer: Lowerer,
): void {
  const { masks, beyond } = foldOf(atom.c.layout!, "column")
  if (beyond.length > 0) throw new Refused("atom/fold", `lanes of several subgroups hold a row of '${atom.name}'`)
  for (const mask of masks) {
    const name = lowerer.fresh("other")
    out.push(
      { kind: "shuffle", name, value: x, mask },
      { kind: "assign", name: x.name, value: fold(x, variable(name, "f32")) },
    )
  }
}

function variableOf(stem: string, value: Expression, { out }: Scope, lowerer: Lowerer) {
  const name = lowerer.fresh(stem)
  out.push({ kind: "let", name, value, mutable: true })
  return variable(name, "f32")
}

/** Sums and results of a row where its pivots have moved. */
function advanceRow(
  { block, results }: OpenChunk,
  row: HeldRow,
  moved: readonly Expression[],
  scope: Scope,
  lowerer: Lowerer,
): void {
  const names = { ...numbered("$p", row.pivots), ...numbered("$q", moved) }
  const advanced = (x: Expression) => instantiate(block.of.recipe.advance, { ...names, $c: x })
  const sums = row.sums.filter((s) => s !== undefined)
  assign(sums, sums.map(advanced), true, scope.out, lowerer)
  eachRegister(block.results, row, scope, lowerer, (registers, { out }) => {
    for (const { register } of registers)
      for (const array of results)
        out.push({ kind: "store", array, offset: register, value: advanced(fetch(array, register, "f32")) })
  })
}

/** Weights of a row, in the terms that are multiplied, and the sums that they have a part in. */
function weighRow({ block, scores, weights, number }: OpenChunk, row: HeldRow, scope: Scope, lowerer: Lowerer): void {
  const { of, chunk } = block
  const base = mul(number, literal(chunk))
  const sums = row.sums.map((s) => s && variableOf("part", literal(0, "f32"), scope, lowerer))
  eachRegister(block.scores, row, scope, lowerer, (registers, inside) => {
    const { out } = inside
    const values = registers.map(({ register, column }) => {
      const name = lowerer.fresh("weight")
      const value = instantiate(of.recipe.weight, { $0: fetch(scores, register, "f32"), ...numbered("$p", row.pivots) })
      out.push({ kind: "let", name, value, mutable: false })
      const weight = variable(name, "f32")
      for (const [i, channel] of of.channels.entries()) {
        const sum = sums[i]
        if (sum === undefined || channel.kind !== "sum") continue
        const at = new Map([...row.at, [of.fold.axis, add(base, column)] as const])
        const isOne = channel.value.kind === "literal" && channel.value.value === 1
        if (!isOne && freeVariables(channel.value).has(of.fold.axis))
          throw new Refused("atom/fold", "what is added up follows the elements")
        const [x] = isOne ? [literal(1, "f32")] : lowerValues([substitute(channel.value, at)], inside, lowerer)
        out.push({ kind: "assign", name: sum.name, value: add(sum, isOne ? weight : apply("mul", weight, x!)) })
      }
      return weight
    })
    storeTerms(weights, registers[0]!.register, vector(values), out, lowerer)
  })
  for (const [i, part] of sums.entries()) {
    if (part === undefined) continue
    exchange(part, (p, q) => apply("add", p, q), block.scores.atom, scope, lowerer)
    assign([row.sums[i]!], [apply("add", row.sums[i]!, part)], true, scope.out, lowerer)
  }
}
