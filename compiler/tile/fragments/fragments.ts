/**
 * Fragments: stores whose folds are products that matrix units take.
 *
 *   y[m, n] = f(sum_k(a[m, k] · b[n, k]), m, n)   with   { atom: { name: "mma.m16n8k16.bf16" }, tile: { m: { block: 128 }, n: { block: 128 } },
 *                                                          warps: { m: 2, n: 2 }, reduce: { k: { chunk: 64, stages: 3 } } }
 *   →  fragments of 128 × 128 sums for 4 groups of lanes;  for turn { chunks of a and b;  c += a · b };
 *      for each register of a lane { m, n are where the layout says;  y[m, n] = f(c[register], m, n) }
 *
 * Results are ordinary registers at known places, so that the rest of a store is lowered as that of any other. Places beyond the end are computed from the last
 * ones there are, and not stored. Results of which only the hardware knows where they lie go through the workgroup's memory, one fragment of each group
 * at a time. What the block needs beside (a value for each row) is staged before.
 */

import { add, apply, fetch, literal, mul, substitute, variable } from "../../ir/expression.js"
import { type Atom, atoms, fragmentSize, isOpaque } from "../../ir/fragments/atoms.js"
import { layout as layoutOf, at as placeIn } from "../../ir/fragments/layout.js"
import type { Store } from "../../ir/kernel.js"
import type { Statement } from "../../ir/loop.js"
import type { Expression, Reduce } from "../../ir/nodes.js"
import { outermostFolds } from "../../ir/query.js"
import type { StoreSchedule } from "../../ir/schedule.js"
import { type BlockAxis, type Build, laneVariable, Refused } from "../block.js"
import { firstPlaces } from "../iterations.js"
import type { Lowerer, Scope } from "../lowerer.js"
import { emitStaged } from "../staging/homes.js"
import { type StagedLocal, shareMemory } from "../staging/staged.js"
import { type Copies, emitStores, guarded } from "../store-copies.js"
import { scansAsReductions } from "../values.js"
import { emitDirect } from "./direct/emit.js"
import { emitOnline } from "./online.js"
import { type Contraction, contractionOf } from "./operands.js"
import { columnsHeld, fixedOf, inPairs, type Place, placeAt, sideOf } from "./places.js"
import type { Groups } from "./registers.js"
import { chunksOf, emitRing, type Ring } from "./ring.js"
import { stagedOperand } from "./staged.js"

/** Emits a store, and those made along with it, by matrix units. */
export function emitFragments(
  given: readonly Store[],
  axes: readonly BlockAxis[],
  schedule: StoreSchedule,
  locals: readonly StagedLocal[],
  start: Scope,
  parts: Build,
): void {
  const atom = atoms.get(schedule.atom!.name)
  if (atom === undefined) throw new Refused("atom/unknown", `there is no atom '${schedule.atom!.name}'`)
  if (Object.keys(schedule.staged ?? {}).length > 0)
    throw new Refused("atom/tile", "what matrix units multiply is staged by itself")
  if (outermostFolds(given[0]!.value).some((r) => r.monoid.kind === "online")) {
    if (isOpaque(atom.name, "c"))
      throw new Refused("atom/fold", `where results of '${atom.name}' lie is not known, and its rows are not scaled`)
    emitOnline(given, atom, axes, schedule, locals, start, parts)
    return
  }
  if (schedule.atom!.direct === true) {
    emitDirect(given, atom, axes, schedule, locals, start, parts)
    return
  }
  const of = contractionOf(given, schedule.atom!.rows, parts.kernel, { storage: atom.a.storage, terms: parts.terms })
  const among = (side: Contraction["rows"]) => axes.filter((a) => side.includes(a.axis))
  const [rowAxes, columnAxes] = [among(of.rows), among(of.columns)]
  const fixed = fixedOf(axes, rowAxes, columnAxes)
  const { chunk, stages } = foldingOf(of, schedule, atom.k)
  const groupsAlong = (of: readonly BlockAxis[]) => of.reduce((n, a) => n * (schedule.warps?.[a.axis.name] ?? 1), 1)
  const [down, across] = [groupsAlong(rowAxes), groupsAlong(columnAxes)]
  if (down * across * atom.lanes !== parts.schedule.threads)
    throw new Refused("atom/lanes", `${down * across} groups of ${atom.lanes} lanes are not ${parts.schedule.threads}`)
  const rows = sideOf(rowAxes, atom.m * down)
  const columns = sideOf(columnAxes, columnsHeld(atom) * across)
  const group = apply("floordiv", laneVariable, literal(atom.lanes))
  const groups: Groups = {
    atom,
    down: rows.places / down / atom.m,
    across: columns.places / across / atom.n,
    row: mul(apply("floordiv", group, literal(across)), literal(rows.places / down)),
    column: mul(apply("floormod", group, literal(across)), literal(columns.places / across)),
  }
  const values = [...of.stores.flatMap((s) => [s.value, ...s.index]), ...[...of.a, ...of.b].map((x) => x.value)]
  const { lowerer } = emitStaged(
    { values, axes, locals, chunk: undefined, folding: (axis) => schedule.reduce[axis] ?? {} },
    parts,
    start.out,
  )
  const { at } = chunksOf(of.folded, chunk)
  const extents = new Map(of.folded.map((a) => [a.name, a.extent] as const))
  const boxes = schedule.atom!.boxes === true ? { extents } : undefined
  const stagedAs = (side: typeof rows) => (x: (typeof of.a)[number]) =>
    stagedOperand(x, side, chunk, stages, atom.a.storage, fixed, at(variable("turn")), lowerer, parts, boxes)
  const ring: Ring = {
    groups,
    chunk,
    stages,
    a: of.a.map(stagedAs(rows)),
    b: of.b.map(stagedAs(columns)),
    contraction: of,
    fixed,
  }
  const scope = { ...start, bound: new Set([...start.bound, "lane"]) }
  const results = emitRing(ring, scope, lowerer)
  emitResults(of, groups, { rows, columns }, fixed, results, scope, lowerer, parts)
}

/** What is said of the folded axes. */
function foldingOf({ folded, products }: Contraction, { reduce }: StoreSchedule, step: number) {
  const axis = folded.at(-1)!.name
  const said = reduce[axis] ?? reduce[products[0]!.fold.axis] ?? {}
  const { chunk, stages = 1, ...rest } = said
  if (chunk === undefined || chunk % step !== 0)
    throw new Refused("atom/tile", `matrix units take '${axis}' in chunks of a multiple of ${step}`)
  if (Object.keys(rest).length > 0)
    throw new Refused("reduce/chunk", `'${axis}' is folded by matrix units, and has no vectors or lanes of its own`)
  return { chunk, stages }
}

/** Stores what the registers of a lane hold, neighbours along a row together. */
function emitResults(
  of: Contraction,
  { atom, down, across, row, column }: Groups,
  { rows, columns }: { readonly rows: ReturnType<typeof sideOf>; readonly columns: ReturnType<typeof sideOf> },
  fixed: ReadonlyMap<string, Expression>,
  results: readonly string[],
  scope: Scope,
  lowerer: Lowerer,
  parts: Build,
): void {
  const size = fragmentSize(atom, "c")
  const layout = atom.c.layout ?? drainedLayout
  const [i, j, pair] = ["down", "across", "pair"].map((stem) => lowerer.fresh(stem)) as [string, string, string]
  const body: Statement[] = []
  const bound = new Set([...scope.bound, i, j, pair])
  const first = mul(variable(pair), literal(2))
  const within = placeIn(layout, laneVariable, first)
  const name = lowerer.fresh("row")
  const place = add(add(row, mul(variable(i), literal(atom.m))), within.row)
  body.push({ kind: "let", name, value: place, mutable: false })
  const here = { ...scope, out: body, bound: bound.add(name) }
  const down0 = placeAt(rows, variable(name))
  const left = add(add(column, mul(variable(j), literal(atom.n))), within.column)
  const fragment = mul(add(mul(variable(i), literal(across)), variable(j)), literal(size))
  const drained = isOpaque(atom.name, "c") ? drains(atom, results, fragment, parts) : undefined
  const read = drained?.arrays ?? results
  const register =
    drained === undefined
      ? add(fragment, first)
      : add(drained.first, add(mul(within.row, literal(atom.n)), within.column))
  const lane = lowerer.fresh("lane")
  const store = (at: Place, vector: Copies["vector"], register: Expression) => {
    const copy = { at: new Map([...fixed, ...down0.at, ...at.at]), inside: literal(1, "bool") }
    const copies: Copies = { copies: [copy], vector }
    const solved = new Map(scope.solved)
    for (const [n, { fold }] of of.products.entries()) {
      const whole = scansAsReductions(substitute(fold, copy.at)) as Reduce
      solved.set(whole, [fetch(read[n]!, register, "f32", vector?.width ?? 1)])
    }
    const inner: Statement[] = []
    for (const s of of.stores)
      emitStores(s, s === of.stores[0] ? copies : firstPlaces(copies, s), { ...here, out: inner, solved }, lowerer)
    body.push(...guarded(apply("and", down0.inside, at.inside), inner))
  }
  if (inPairs(of, columns.axes, parts)) {
    const at = placeAt(columns, left)
    const last = columns.axes.at(-1)!.axis.name
    const shifted = new Map(at.at).set(last, add(at.at.get(last)!, variable(lane)))
    store({ ...at, at: shifted }, { name: lane, base: literal(0), width: 2 }, register)
  } else for (const n of [0, 1]) store(placeAt(columns, add(left, literal(n))), undefined, add(register, literal(n)))
  const each = (variable: string, extent: number, body: readonly Statement[]): Statement => ({
    kind: "for",
    variable,
    extent: literal(extent),
    bind: "unroll",
    body,
  })
  scope.out.push(each(i, down, [each(j, across, [...(drained?.body ?? []), each(pair, size / 2, body)])]))
}

/** Which elements of a drained fragment of 16 × 16 a lane has: neighbours have neighbours. */
const drainedLayout = layoutOf("c1 c2 c3 r0 r1", "c0 r2 r3")

/** What brings a fragment of each product to where the lanes of its group find it, when they have read the one before. */
function drains(atom: Atom, results: readonly string[], fragment: Expression, parts: Build) {
  const size = atom.m * atom.n
  const groups = parts.schedule.threads / atom.lanes
  const first = mul(apply("floordiv", laneVariable, literal(atom.lanes)), literal(size))
  const arrays = results.map(() => shareMemory("drained", { dtype: "f32", size: groups * size }, parts))
  const body: readonly Statement[] = [
    { kind: "barrier" },
    ...results.map(
      (array, n): Statement => ({
        kind: "drain",
        atom: atom.name,
        from: { array, offset: fragment },
        to: { array: arrays[n]!, offset: first },
        stride: literal(atom.n),
        transposed: false,
      }),
    ),
    { kind: "barrier" },
  ]
  return { arrays, first, body }
}
