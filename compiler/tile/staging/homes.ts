/**
 * Where what a workgroup stages lies: in memory that it owns, whole or chunk by chunk.
 *
 *   m[row] read at the store's own row   →   one value per row of the block
 *   x[row, k] read along all of k        →   rows of the block × the whole of k
 *   w[o, k] read at a chunk of k         →   the block's o × the chunk, filled anew for each chunk
 *
 * So an axis has the places of a block (its part of a store's axis), of a chunk, the only one of a loop that is open, or all. An only element is
 * a variable where every thread has it: the only one there is, or all of those that share its folds.
 */

import { literalExtent } from "../../ir/dim.js"
import { literal, substitute, variable } from "../../ir/expression.js"
import type { Local } from "../../ir/kernel.js"
import type { Statement } from "../../ir/loop.js"
import type { Expression, LocalRead } from "../../ir/nodes.js"
import { localsIn, nodesOf, outermostFolds } from "../../ir/query.js"
import type { Axis } from "../../ir/tensor.js"
import { type BlockAxis, type Build, createLowerer, type Home, laneGroup, Refused } from "../block.js"
import type { Lowerer, Scope } from "../lowerer.js"
import { lowerValues } from "../values.js"
import { createFences, emitFill } from "./fill.js"
import { commonKey } from "./prologue.js"
import { allocate, type StagedArray, type StagedAxis, type StagedLocal } from "./staged.js"

/** A chunk in the loops around it: where it starts, and at what place of the axes that are folded around it. */
export interface OpenChunk {
  readonly name: string
  readonly size: number
  readonly extent: Expression
  readonly base: Expression
  readonly outer: ReadonlyMap<string, Expression>
  /** Which half of an array the chunk is in, when two are staged. */
  readonly half: Expression | undefined
}

/** What reads staged values. */
export interface Reader {
  readonly values: readonly Expression[]
  readonly axes: readonly BlockAxis[]
  /** In order of computation. */
  readonly locals: readonly StagedLocal[]
  readonly chunk: OpenChunk | undefined
  readonly folding: Lowerer["folding"]
}

/** How what is read is lowered, and the arrays among it; what no chunk fills is filled. */
export function emitStaged(
  reader: Reader,
  parts: Build,
  out: Statement[],
): {
  readonly lowerer: Lowerer
  readonly arrays: ReadonlyMap<string, StagedArray>
  readonly homes: ReadonlyMap<string, Home>
} {
  const { chunk } = reader
  const homes = new Map<string, Home>()
  const arrays = new Map<string, StagedArray>()
  const wanted = localsIn(reader.values, new Map(reader.locals.map((l) => [l.name, l])))
  const alignments = alignLocals(
    reader.values,
    wanted,
    reader.axes.map((a) => a.axis.name),
    chunk,
  )
  const bound = new Set(reader.axes.flatMap((a) => (a.cell === undefined ? [] : [a.cell.name])))
  const scope: Scope = { out, bound, vector: undefined, lanes: undefined, solved: new Map() }
  const lowerer = createLowerer(parts, homes, (axis) => parts.schedule.locals[axis] ?? reader.folding(axis))
  const fences = createFences(parts)
  for (const local of wanted) {
    const along = alignments.get(local.name)!
    const perChunk = chunk !== undefined && along.includes(chunk.name)
    const axes = local.axes.map((axis, i) => stagedAxis(local, axis, along[i], reader, perChunk))
    const size = axes.reduce((n, a) => n * a.size, 1)
    const key = perChunk ? undefined : commonKey(local, axes, homes, parts)
    const known = key === undefined ? undefined : parts.prologue!.homes.get(key)
    const place = key === undefined ? scope : { ...scope, out: parts.prologue!.out }
    const waits = key === undefined ? fences : parts.prologue!.fences
    const isSeen = key === undefined || parts.prologue!.always
    const isVariable = isSeen && !perChunk && local.moves !== true && everyThreadHas(local, lowerer)
    // Nobody reads an element of what is empty.
    if (known !== undefined) homes.set(local.name, known)
    else if (size === 0) homes.set(local.name, scalarHome(literal(0, local.value.dtype)))
    else if (size === 1 && isVariable) {
      waits.before(undefined, local.value, place.out)
      homes.set(local.name, scalarHome(emitScalar(local, axes, place, lowerer, parts)))
    } else {
      const half = perChunk && local.moves !== true ? chunk.half : undefined
      const made = allocate({ local, axes, perChunk, half }, parts, place.out, key !== undefined)
      homes.set(local.name, made)
      arrays.set(local.name, made)
      if (perChunk || local.empty === true) continue
      waits.before(local.name, local.value, place.out)
      emitFill(made, local.value, place, lowerer, parts)
    }
    if (key !== undefined) parts.prologue!.homes.set(key, homes.get(local.name)!)
  }
  fences.settle(out)
  return { lowerer: createLowerer(parts, homes, reader.folding), arrays, homes }
}

const scalarHome = (scalar: Expression): Home => ({ array: undefined, shape: [], scalar, offset: () => literal(0) })

function stagedAxis(
  { name, tile }: StagedLocal,
  axis: Axis,
  along: string | undefined,
  { axes, chunk }: Reader,
  perChunk: boolean,
): StagedAxis {
  const interleaved = tile.interleave === axis.name
  const places = (size: number, base: Expression, end?: Expression, chunked = false): StagedAxis => {
    if (interleaved && size > 1 && size % 2 !== 0)
      throw new Refused("tile/indivisible", `an odd number of places of '${axis.name}' has no halves`)
    return { axis, size, base, end, interleaved, chunked }
  }
  if (chunk !== undefined && along === chunk.name) return places(chunk.size, chunk.base, chunk.extent, true)
  const open = perChunk && along !== undefined ? chunk?.outer.get(along) : undefined
  if (open !== undefined) return places(1, open)
  const owner = axes.find((a) => a.axis.name === along)
  const extent = literalExtent(axis.extent)
  const size = owner === undefined ? extent : owner.owned
  if (size === undefined)
    throw new Refused(
      "local/unowned",
      `'${name}' is read all along '${axis.name}', whose extent is not known; a block cannot hold it`,
    )
  if (owner === undefined) return places(size, literal(0))
  const { block } = owner.tile
  const inside = size === extent || block === 1 || block === "all" || (extent !== undefined && extent % size === 0)
  return places(size, owner.base, inside ? undefined : axis.extent)
}

/** Whether every thread has the value of a local once it is made: of a workgroup's, where all of them share each of its folds. */
function everyThreadHas({ value }: Local, { folding, threads }: Lowerer): boolean {
  const folds = outermostFolds(value)
  return threads === 1 || (folds.length > 0 && folds.every((r) => folding(r.axis).group === threads))
}

/** The only element of a local that every thread has: a name. */
function emitScalar(
  { name, value }: Local,
  axes: readonly StagedAxis[],
  scope: Scope,
  lowerer: Lowerer,
  parts: Build,
): Expression {
  const at = new Map(axes.map((a) => [a.axis.name, a.base] as const))
  const [lowered] = lowerValues(
    [substitute(value, at)],
    { ...scope, lanes: laneGroup(lowerer.threads, parts) },
    lowerer,
  )
  const kept = parts.fresh(name)
  scope.out.push({ kind: "let", name: kept, value: lowered!, mutable: false })
  return variable(kept, value.dtype)
}

/**
 * Per local and axis: the axis of the store, of a chunk or of a fold around it, at whose own point it is always read; undefined when it is
 * read elsewhere, too. A local that is read by another local at that one's own axis follows it.
 */
export function alignLocals(
  values: readonly Expression[],
  wanted: readonly Local[],
  axes: readonly string[],
  chunk?: Pick<OpenChunk, "name" | "outer">,
): ReadonlyMap<string, readonly (string | undefined)[]> {
  const outer = chunk?.outer ?? new Map<string, Expression>()
  const names = new Set([...axes, ...outer.keys(), ...(chunk === undefined ? [] : [chunk.name])])
  const found = new Map<string, (string | undefined)[]>()
  const note = (read: LocalRead, follow: (x: Expression) => string | undefined) => {
    const seen = read.index.map(follow)
    const before = found.get(read.local)
    found.set(read.local, before === undefined ? seen : before.map((b, i) => (b === seen[i] ? b : undefined)))
  }
  for (const x of nodesOf(values, "localRead"))
    note(x, (e) => (e.kind === "variable" && names.has(e.name) ? e.name : undefined))
  // Readers before what they read: the list is in order of computation.
  for (const local of [...wanted].reverse()) {
    const mine = found.get(local.name) ?? local.axes.map(() => undefined)
    for (const x of nodesOf([local.value], "localRead"))
      note(x, (e) => {
        const i = e.kind === "variable" ? local.axes.findIndex((a) => a.name === e.name) : -1
        return i < 0 ? undefined : mine[i]
      })
  }
  // What does not move with the chunk stays as it is for all of the folds around it.
  for (const [name, along] of found)
    if (chunk === undefined || !along.includes(chunk.name))
      found.set(
        name,
        along.map((a) => (a !== undefined && outer.has(a) ? undefined : a)),
      )
  return found
}
