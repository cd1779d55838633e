/**
 * Locals: what a block computes before its points, over the part that it owns.
 *
 *   Local m[row] read at the store's own row   →   one value per row of the block
 *   Local x[row, k] read along all of k        →   rows of the block × the whole of k
 *   Local w[o, k] read at a chunk of k         →   the block's o × the chunk, filled anew for each chunk
 *
 * With one lane they live in registers, with several in shared memory behind a barrier.
 */

import { literalExtent } from "../../ir/dim.js"
import { add, literal, mul, substitute, variable } from "../../ir/expression.js"
import { bufferOf, type Local } from "../../ir/kernel.js"
import { type Half, packed, type Statement } from "../../ir/loop.js"
import type { Expression, LocalRead } from "../../ir/nodes.js"
import { nodesOf } from "../../ir/query.js"
import type { StagedTile } from "../../ir/schedule.js"
import { type BlockAxis, type Build, createLowerer, type Home, laneGroup, Refused } from "../block.js"
import type { Lowerer, Scope } from "../lowerer.js"
import { lowerValues } from "../values.js"
import { allocate, emitFill, type StagedAxis, stagedOffset, stagedShape } from "./fill.js"

/** What the locals of a store are read by. */
export interface Reader {
  /** The expressions that read them. */
  readonly values: readonly Expression[]
  readonly axes: readonly BlockAxis[]
  /** The locals of the kernel, and those that are staged for this store. */
  readonly locals: readonly Local[]
  readonly tiles: ReadonlyMap<string, StagedTile>
  /** The chunked axis and those that are folded around it. */
  readonly chunk: OpenChunk | undefined
  readonly folding: Lowerer["folding"]
  /** Locals of which one chunk is staged, whatever the schedule says: scores. */
  readonly once: ReadonlySet<string>
}

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

/** A local that is filled for each chunk. */
export interface ChunkLocal {
  readonly local: Local
  readonly array: string
  readonly tile: StagedTile
  readonly half: Expression | undefined
  /** What is staged of it; `whole`: the chunk ends before the axis does. */
  staged(whole: boolean): readonly StagedAxis[]
}

export interface BlockLocals {
  readonly homes: Map<string, Home>
  /** The layouts of the arrays. */
  readonly shapes: Map<string, readonly number[]>
  readonly chunked: readonly ChunkLocal[]
}

/** Emits the locals that a block owns, and allocates those that its chunks fill. */
export function emitLocals(reader: Reader, parts: Build, out: Statement[]): BlockLocals {
  const wanted = wantedLocals(reader.values, reader.locals)
  const homes = new Map<string, Home>()
  const shapes = new Map<string, readonly number[]>()
  const chunked: ChunkLocal[] = []
  const alignments = alignLocals(reader, wanted)
  const bound = new Set(reader.axes.flatMap((a) => (a.cell === undefined ? [] : [a.cell.name])))
  const folding: Lowerer["folding"] = (axis) => parts.schedule.locals[axis] ?? reader.folding(axis)
  const lowerer = createLowerer(parts, homes, folding, shapes)
  for (const local of wanted) {
    const along = alignments.get(local.name)!
    const tile = reader.tiles.get(local.name) ?? { tile: {} }
    const inChunks = reader.chunk !== undefined && along.includes(reader.chunk.name)
    const stagedAt = (whole: boolean) =>
      local.axes.map(
        (axis, i): StagedAxis => ({
          ...stagedAxis(axis, along[i], reader, inChunks, local.name, whole),
          interleaved: tile.interleave === axis.name,
        }),
      )
    const staged = stagedAt(false)
    if (staged.some((h) => h.interleaved && h.size > 1 && h.size % 2 !== 0))
      throw new Refused("tile/indivisible", `an odd number of places of '${tile.interleave}' has no halves`)
    const size = staged.reduce((n, h) => n * h.size, 1)
    const one = stagedShape(staged, tile.pad ?? 0)
    const half = inChunks && !reader.once.has(local.name) ? reader.chunk?.half : undefined
    const shape = half === undefined ? one : [2, ...one]
    if (size === 0) {
      // Nobody reads an element of it.
      homes.set(local.name, { array: undefined, scalar: literal(0, local.value.dtype), offset: () => literal(0) })
      continue
    }
    const within = stagedOffset(staged, one)
    const whole = one.reduce((n, s) => n * s, 1)
    const offset: Home["offset"] =
      half === undefined ? within : (index) => add(mul(half, literal(whole)), within(index))
    if (size === 1 && parts.schedule.threads === 1 && !inChunks) {
      const kept = emitScalar(local, staged, bound, lowerer, parts, out)
      homes.set(local.name, { array: undefined, scalar: kept, offset })
      continue
    }
    const array = allocate(
      local.name,
      local.value.dtype,
      shape.reduce((n, s) => n * s, 1),
      parts,
      out,
      tile.packed === true ? storageOf(local, parts) : undefined,
    )
    shapes.set(array, shape)
    if (inChunks) chunked.push({ local, array, tile, half, staged: stagedAt })
    else {
      const scope: Scope = { out, bound, vector: undefined, lanes: undefined, solved: new Map() }
      emitFill(array, staged, local.value, tile.tile, scope, lowerer, parts)
      if (parts.schedule.threads > 1) out.push({ kind: "barrier" })
    }
    homes.set(local.name, { array, scalar: undefined, offset })
  }
  return { homes, shapes, chunked }
}

/** The storage of the buffer that a local copies. */
function storageOf({ name, value }: Local, { kernel }: Build): Half {
  const storage = value.kind === "load" ? bufferOf(kernel, value.buffer).storage : undefined
  if (storage === undefined || !packed(storage))
    throw new Refused("store/packed", `'${name}' is no copy of elements of which two share a word`)
  return storage
}

function stagedAxis(
  axis: Local["axes"][number],
  along: string | undefined,
  { axes, chunk }: Reader,
  inChunks: boolean,
  name: string,
  whole: boolean,
): Omit<StagedAxis, "interleaved"> {
  if (chunk !== undefined && along === chunk.name)
    return { axis, size: chunk.size, base: chunk.base, end: whole ? undefined : chunk.extent }
  const open = inChunks && along !== undefined ? chunk?.outer.get(along) : undefined
  if (open !== undefined) return { axis, size: 1, base: open, end: undefined }
  const owner = axes.find((a) => a.axis.name === along)
  const size = owner === undefined ? literalExtent(axis.extent) : owner.owned
  if (size === undefined)
    throw new Refused(
      "local/unowned",
      `'${name}' is read all along '${axis.name}', whose extent is not known; a block cannot hold it`,
    )
  if (owner === undefined) return { axis, size, base: literal(0), end: undefined }
  const { block } = owner.tile
  const inside = size === literalExtent(axis.extent) || block === 1 || block === "all"
  const divides = literalExtent(axis.extent) !== undefined && literalExtent(axis.extent)! % size === 0
  return { axis, size, base: owner.base, end: inside || divides ? undefined : axis.extent }
}

/** The only element of a local that one lane owns: a name. */
function emitScalar(
  local: Local,
  staged: readonly StagedAxis[],
  bound: ReadonlySet<string>,
  lowerer: Lowerer,
  parts: Build,
  out: Statement[],
): Expression {
  const at = new Map(staged.map((h) => [h.axis.name, h.base] as const))
  const scope: Scope = { out, bound, vector: undefined, lanes: laneGroup(1, parts), solved: new Map() }
  const [value] = lowerValues([substitute(local.value, at)], scope, lowerer)
  const kept = parts.fresh(local.name)
  out.push({ kind: "let", name: kept, value: value!, mutable: false })
  return variable(kept, local.value.dtype)
}

/** The locals that are read, those that they read first. */
export function wantedLocals(values: readonly Expression[], locals: readonly Local[]): readonly Local[] {
  const names = new Set<string>()
  const visit = (roots: readonly Expression[]): void => {
    for (const { local: name } of nodesOf(roots, "localRead")) {
      if (names.has(name)) continue
      names.add(name)
      visit(locals.filter((l) => l.name === name).map((l) => l.value))
    }
  }
  visit(values)
  return locals.filter((l) => names.has(l.name))
}

/**
 * Per local and axis: the axis of the store, of a chunk or of a fold around it, at whose own point it is always read; undefined when it is
 * read elsewhere, too. A local that is read by another local at that one's own axis follows it.
 */
export function alignLocals(
  {
    values,
    axes,
    locals,
    chunk,
  }: Pick<Reader, "values" | "locals" | "chunk"> & { axes: readonly Pick<BlockAxis, "axis">[] },
  wanted: readonly Local[],
): ReadonlyMap<string, readonly (string | undefined)[]> {
  const outer = chunk?.outer ?? new Map<string, Expression>()
  const names = new Set([
    ...axes.map((a) => a.axis.name),
    ...outer.keys(),
    ...(chunk === undefined ? [] : [chunk.name]),
  ])
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
    for (const x of nodesOf([locals.find((l) => l.name === local.name)!.value], "localRead"))
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
