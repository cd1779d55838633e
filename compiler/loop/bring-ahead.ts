/**
 * bring-ahead: loop → loop. What a lane reads of streams in the turns of a loop of products is copied to the workgroup's memory a turn ahead, to places that
 * this lane alone touches, so that nobody meets for them; what it reads first, while the kernel still waits for earlier launches.
 *
 *   for turn < 4 { let w = codes[at(group, turn) : 4]; … }
 *   →   copy queue[0] = codes[at(workgroup, 0) : 4]; commit
 *       for turn < 4 { copy queue[other] = codes[at(the cell and the turn that follow) : 4]; commit; wait copies but 1; let w = queue[this : 4]; … }
 *
 * Only where a turn makes products: else there is always something under way, and a copy costs more than it brings. And only where a workgroup has
 * some turns, and what is brought is most of what they read: for the rest a lane waits all the same.
 */
import { maximum } from "../ir/dim.js"
import { add, apply, fetch, isLiteral, literal, mul, rewriter, variable } from "../ir/expression.js"
import { type LoopBuffer, type LoopKernel, type Statement, type StatementOf, storageBytes } from "../ir/loop.js"
import { everyStatement, expressionsOf, freshNames, readsOf, withExpressions } from "../ir/loop-visit.js"
import type { BringLimits } from "../ir/machine.js"
import type { Expression, Fetch } from "../ir/nodes.js"
import { nodesOf } from "../ir/query.js"
import { knownAhead, type Meaning } from "./ask-ahead.js"

type Loop = StatementOf<"for">

/** The one loop of a cell, or of each of the ways that there are through its conditions. */
type Turns =
  | { readonly loop: Loop; readonly before: readonly Statement[]; readonly reads: readonly Fetch[] }
  | {
      readonly condition: Expression
      readonly before: readonly Statement[]
      readonly then: Turns
      readonly otherwise: Turns
    }

/** @param limits what is brought; nothing when left out */
export function bringAhead(kernel: LoopKernel, limits?: BringLimits): LoopKernel {
  const streams = new Map(kernel.buffers.flatMap((b) => (b.once ? [[b.name, b] as const] : [])))
  const shape = limits === undefined || streams.size === 0 ? undefined : shapeOf(kernel)
  if (shape === undefined) return kernel
  const isPiece = (x: Fetch) => {
    const stream = streams.get(x.array)
    return stream?.storage === "u32" && x.width * storageBytes(stream.storage) === limits!.bytes
  }
  const turns = turnsOf(shape.cell, isPiece)
  if (turns === undefined) return kernel
  const all = loopsOf(turns)
  const { extent } = all[0]!.loop
  const count = isLiteral(extent) ? extent.value : 0
  if (count === 0 || !all.every(({ loop }) => loop.extent === extent)) return kernel
  const size = (mostReads(all) * limits!.bytes * kernel.threads) / 4
  if (!isWorth(kernel, shape, { all, count, streams, bytes: 8 * size }, limits!)) return kernel
  const words = limits!.bytes / 4
  const [queue, place, next] = (["queue_", "place_", "next_"] as const).map((stem) => freshNames(kernel.body, stem)())
  const lane = variable(shape.lane)
  const at = (slot: Expression, piece: number) =>
    add(mul(slot, literal(size)), mul(add(lane, literal(piece * kernel.threads)), literal(words)))
  /** Copies what is read in a turn of a cell. */
  const asked = (given: Turns, slot: Expression, meaning: Meaning): Statement[] | undefined => {
    const now = named(given.before, meaning)
    if ("loop" in given) {
      const inside = named(given.loop.body, now)
      const offsets = given.reads.map((x) => knownAhead(x.offset, inside))
      if (offsets.some((o) => o === undefined)) return undefined
      return given.reads.map((x, i) => ({
        kind: "copy",
        to: { array: queue!, offset: at(slot, i) },
        from: { array: x.array, offset: offsets[i]! },
        width: x.width,
      }))
    }
    const condition = knownAhead(given.condition, now)
    const [then, otherwise] = [given.then, given.otherwise].map((t) => asked(t, slot, now))
    if (condition === undefined || then === undefined || otherwise === undefined) return undefined
    return [{ kind: "if", condition, body: then, otherwise }]
  }
  const loops = new Set(all.map(({ loop }) => loop.variable))
  const meaningAt = (cell: Expression, turn: Expression): Meaning =>
    named(shape.before, new Map([[shape.grid, cell], ...[...loops].map((name) => [name, turn] as const)]))
  const slot = variable(place!)
  const other = apply("sub", literal(1), slot)
  const commit: Statement = { kind: "commit", of: "copies" }

  // What comes first.
  const start = shape.crosses ? variable("workgroup") : variable(shape.grid)
  const begun = asked(turns, literal(0), meaningAt(start, literal(0)))
  if (begun === undefined) return kernel
  const isCell = apply("lt", start, shape.extent)
  const ahead: Statement[] = [
    { kind: "let", name: place!, value: literal(0), mutable: true },
    ...(shape.crosses ? [{ kind: "if", condition: isCell, body: begun, otherwise: [] } as const] : begun),
    commit,
  ]

  const inTurn = (loop: Loop, reads: readonly Fetch[]): Loop => {
    const turn = variable(loop.variable)
    const isLast = apply("eq", turn, literal(count - 1))
    const following = shape.crosses
      ? apply("select", isLast, add(variable(shape.grid), variable("workgroups")), variable(shape.grid))
      : variable(shape.grid)
    const then = apply("select", isLast, literal(0), add(turn, literal(1)))
    const cell = variable(next!)
    const asks = asked(turns, other, meaningAt(shape.crosses ? cell : following, then))!
    const isThere = shape.crosses ? apply("lt", cell, shape.extent) : apply("lt", turn, literal(count - 1))
    const places = new Map(reads.map((x, i) => [x, fetch(queue!, at(slot, i), x.dtype, x.width)]))
    const replace = rewriter((x) => (x.kind === "fetch" ? places.get(x) : undefined))
    return {
      ...loop,
      body: [
        ...(shape.crosses ? [{ kind: "let", name: next!, value: following, mutable: false } as const] : []),
        { kind: "if", condition: isThere, body: asks, otherwise: [] },
        commit,
        { kind: "wait", of: "copies", groups: 1 },
        ...loop.body.map((s) => withExpressions(s, replace)),
        { kind: "assign", name: place!, value: other },
      ],
    }
  }
  const alloc: Statement = { kind: "alloc", name: queue!, dtype: "u32", size: 2 * size, space: "shared" }
  return { ...kernel, body: shape.rebuilt(alloc, ahead, (body) => withLoops(body, turns, inTurn)) }
}

/** Where the cells of a kernel are, and what stands around them. */
interface Shape {
  readonly grid: string
  readonly lane: string
  /** Cells. */
  readonly extent: Expression
  /** What a lane does before them. */
  readonly before: readonly Statement[]
  /** What a lane does for a cell. */
  readonly cell: readonly Statement[]
  /** Whether a workgroup goes from cell to cell with what it holds. */
  readonly crosses: boolean
  /** The kernel's body with an array of the workgroup, statements in front of all that lanes do, and other cells. */
  readonly rebuilt: (
    alloc: Statement,
    ahead: readonly Statement[],
    cell: (body: readonly Statement[]) => readonly Statement[],
  ) => readonly Statement[]
}

function shapeOf({ body }: LoopKernel): Shape | undefined {
  const outer = body.at(-1)
  if (outer?.kind !== "for") return undefined
  const inner = outer.body.at(-1)
  if (inner?.kind !== "for") return undefined
  const before = body.slice(0, -1)
  const inside = outer.body.slice(0, -1)
  if (outer.bind === "lane" && inner.bind === "grid")
    return {
      grid: inner.variable,
      lane: outer.variable,
      extent: inner.extent,
      before: inside,
      cell: inner.body,
      crosses: true,
      rebuilt: (alloc, ahead, cell) => [
        ...before,
        alloc,
        { ...outer, body: [...ahead, ...inside, { ...inner, body: cell(inner.body) }] },
      ],
    }
  if (outer.bind === "grid" && inner.bind === "lane" && inside.every((s) => s.kind === "alloc"))
    return {
      grid: outer.variable,
      lane: inner.variable,
      extent: outer.extent,
      before: [],
      cell: inner.body,
      crosses: false,
      rebuilt: (alloc, ahead, cell) => [
        ...before,
        { ...outer, body: [...inside, alloc, { ...inner, body: [...ahead, ...cell(inner.body)] }] },
      ],
    }
  return undefined
}

/** The loops of turns of a body: one on each way through its conditions; undefined where there are others, or none. */
function turnsOf(body: readonly Statement[], isPiece: (x: Fetch) => boolean): Turns | undefined {
  const makesProducts = (s: Statement) => everyStatement([s]).some((x) => x.kind === "multiply")
  const found = [...body.entries()].filter(([, s]) => makesProducts(s))
  const [at, s] = found[0] ?? []
  if (found.length !== 1 || s === undefined) return undefined
  const before = body.slice(0, at)
  if (s.kind === "if") {
    const [then, otherwise] = [turnsOf(s.body, isPiece), turnsOf(s.otherwise, isPiece)]
    return then && otherwise && { condition: s.condition, before, then, otherwise }
  }
  if (s.kind !== "for" || s.bind !== "serial") return undefined
  if (everyStatement(s.body).some((x) => x.kind === "copy" || x.kind === "commit" || x.kind === "barrier"))
    return undefined
  const reads = new Set(s.body.flatMap((x) => nodesOf(expressionsOf(x), "fetch")).filter(isPiece))
  return reads.size === 0 ? undefined : { loop: s, before, reads: [...reads] }
}

const loopsOf = (turns: Turns): readonly { readonly loop: Loop; readonly reads: readonly Fetch[] }[] =>
  "loop" in turns ? [turns] : [...loopsOf(turns.then), ...loopsOf(turns.otherwise)]

const mostReads = (all: ReturnType<typeof loopsOf>) => Math.max(...all.map(({ reads }) => reads.length))

/** Whether there is room for `bytes` more, and what is brought pays. */
function isWorth(
  kernel: LoopKernel,
  { crosses, extent }: Shape,
  {
    all,
    count,
    streams,
    bytes,
  }: {
    readonly all: ReturnType<typeof loopsOf>
    readonly count: number
    readonly streams: ReadonlyMap<string, LoopBuffer>
    readonly bytes: number
  },
  limits: BringLimits,
): boolean {
  const held = everyStatement(kernel.body).reduce(
    (n, s) => (s.kind === "alloc" && s.space === "shared" ? n + s.size * (s.storage === undefined ? 4 : 2) : n),
    0,
  )
  const cells = crosses && isLiteral(extent) ? Math.max(1, extent.value / kernel.groups) : 1
  return (
    mostReads(all) <= limits.reads &&
    held + bytes <= limits.sharedBytes &&
    cells * count >= limits.turns &&
    shareOf(all, streams) >= limits.share
  )
}

/** How much of the streams that turns read is in those that are brought, of their bytes. */
function shareOf(all: ReturnType<typeof loopsOf>, streams: ReadonlyMap<string, LoopBuffer>): number {
  const bytesOf = (names: Iterable<string>) =>
    [...new Set(names)].reduce(
      (n, name) => n + maximum(streams.get(name)!.size) * storageBytes(streams.get(name)!.storage),
      0,
    )
  const read = all.flatMap(({ loop }) => everyStatement(loop.body).flatMap((s) => [...readsOf(s)]))
  return (
    bytesOf(all.flatMap(({ reads }) => reads.map((x) => x.array))) / bytesOf(read.filter((name) => streams.has(name)))
  )
}

/** A body with its loops of turns as they are made anew. */
function withLoops(
  body: readonly Statement[],
  turns: Turns,
  made: (loop: Loop, reads: readonly Fetch[]) => Loop,
): readonly Statement[] {
  return body.map((s, i) => {
    if (i !== turns.before.length) return s
    if ("loop" in turns) return made(turns.loop, turns.reads)
    if (s.kind !== "if") return s
    return {
      ...s,
      body: withLoops(s.body, turns.then, made),
      otherwise: withLoops(s.otherwise, turns.otherwise, made),
    }
  })
}

/** What names stand for behind some statements. */
function named(body: readonly Statement[], meaning: Meaning): Meaning {
  const now = new Map(meaning)
  for (const s of body)
    if (s.kind === "let") now.set(s.name, s.mutable ? undefined : knownAhead(s.value, now))
    else if (s.kind === "shuffle") now.set(s.name, undefined)
  return now
}
