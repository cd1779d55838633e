/**
 * Locals: what a block computes before its points, over the part that it owns.
 *
 *   Local m[row] read at the store's own row   →   one value per row of the block
 *   Local x[row, k] read along all of k        →   rows of the block × the whole of k
 *
 * With one lane they live in registers, with several in shared memory behind a barrier.
 */
import { literalExtent } from "../ir/dim.js"
import { add, apply, literal, mul, substitute, variable, walk } from "../ir/expression.js"
import type { Local, Store } from "../ir/kernel.js"
import type { Statement } from "../ir/loop.js"
import type { Expression, LocalRead } from "../ir/nodes.js"
import type { Axis } from "../ir/tensor.js"
import { type BlockAxis, type Build, createLowerer, type Home, laneGroup, Refused, workersOf } from "./tile-block.js"
import { lowerValues, type Scope } from "./tile-values.js"

/** Computes the locals that a store needs over the part that its block owns. */
export function emitLocals(
  store: Store,
  axes: readonly BlockAxis[],
  parts: Build,
  out: Statement[],
): ReadonlyMap<string, Home> {
  const locals = parts.kernel.items.filter((i) => i.kind === "local")
  const wanted = wantedLocals(store, locals)
  const homes = new Map<string, Home>()
  const alignments = alignLocals(store, wanted, locals)
  const bound = new Set(axes.flatMap((a) => (a.cell === undefined ? [] : [a.cell.name])))
  for (const local of wanted) {
    const along = alignments.get(local.name)!
    const held = local.axes.map((axis, i) => {
      const owner = along[i] === undefined ? undefined : axes.find((a) => a.axis.name === along[i])!
      const size = owner === undefined ? literalExtent(axis.extent) : owner.owned
      if (size === undefined)
        throw new Refused(
          "local/unowned",
          `'${local.name}' is read all along '${axis.name}', whose extent is not known; a block cannot hold it`,
        )
      return { axis, owner, size }
    })
    const size = held.reduce((n, h) => n * h.size, 1)
    if (size === 0) {
      // Nobody reads an element of it.
      homes.set(local.name, { array: undefined, scalar: literal(0, local.value.dtype), offset: () => literal(0) })
      continue
    }
    if (size > 16384) throw new Refused("local/size", `'${local.name}' has ${size} elements in a block`)
    const single = size === 1 && parts.schedule.lanes === 1
    const array = single ? undefined : parts.fresh(local.name)
    const offset = (index: readonly Expression[]) =>
      held.reduce<Expression>(
        (flat, h, i) =>
          h.size === 1
            ? flat
            : add(
                mul(flat, literal(h.size)),
                h.owner === undefined ? index[i]! : apply("sub", index[i]!, h.owner.base),
              ),
        literal(0),
      )
    const shared = parts.schedule.lanes > 1
    if (array !== undefined && shared) parts.shared.set(array, { dtype: local.value.dtype, size })
    if (array !== undefined && !shared)
      out.push({ kind: "alloc", name: array, dtype: local.value.dtype, size, space: "register" })
    emitLocal(local, held, size, array, homes, offset, bound, parts, out)
    if (shared) out.push({ kind: "barrier" })
  }
  return homes
}

interface Held {
  readonly axis: Axis
  readonly owner: BlockAxis | undefined
  readonly size: number
}

function emitLocal(
  local: Local,
  held: readonly Held[],
  size: number,
  array: string | undefined,
  homes: Map<string, Home>,
  offset: Home["offset"],
  bound: ReadonlySet<string>,
  parts: Build,
  out: Statement[],
): void {
  const lowerer = createLowerer(parts, homes, (axis) => parts.schedule.locals[axis] ?? {})
  let together = 1
  walk(local.value, (x) => {
    if (x.kind === "reduce") together = Math.max(together, parts.schedule.locals[x.axis]?.lanes ?? 1)
  })
  const { workers, worker } = workersOf(together, parts)
  const turns = Math.ceil(size / workers)
  const name = parts.fresh("element")
  const element = add(mul(turns === 1 ? literal(0) : variable(name), literal(workers)), worker)
  const body: Statement[] = []
  const spare = turns * workers !== size
  const safe = spare && together > 1 ? apply("min", element, literal(size - 1)) : element
  // The coordinates of the element; beyond the domain's end they stay inside, for a block may reach over it.
  const at = new Map<string, Expression>()
  let rest: Expression = safe
  for (const [i, h] of [...held].reverse().entries()) {
    const number = h.size === 1 ? literal(0) : i === held.length - 1 ? rest : apply("floormod", rest, literal(h.size))
    if (h.size > 1) rest = apply("floordiv", rest, literal(h.size))
    const first = h.owner === undefined ? number : add(h.owner.base, number)
    const inside =
      h.owner === undefined ||
      h.size === literalExtent(h.axis.extent) ||
      h.owner.tile.block === 1 ||
      h.owner.tile.block === "all"
    at.set(h.axis.name, inside ? first : apply("min", first, apply("sub", h.axis.extent, literal(1))))
  }
  const inner = new Set([...bound, name, "lane"])
  const scope: Scope = {
    out: body,
    bound: inner,
    vector: undefined,
    lanes: laneGroup(together, parts),
    solved: new Map(),
  }
  const [value] = lowerValues([substitute(local.value, at)], scope, lowerer)
  if (array === undefined) {
    const kept = parts.fresh(local.name)
    out.push(...body, { kind: "let", name: kept, value: value!, mutable: false })
    homes.set(local.name, { array: undefined, scalar: variable(kept, local.value.dtype), offset })
    return
  }
  const store: Statement = { kind: "store", array, offset: element, value: value! }
  const conditions: Expression[] = []
  if (spare) conditions.push(apply("lt", element, literal(size)))
  if (together > 1) conditions.push(apply("eq", scope.lanes!.index, literal(0)))
  if (conditions.length === 0) body.push(store)
  else if (together > 1)
    body.push({ kind: "if", condition: conditions.reduce((a, b) => apply("and", a, b)), body: [store], otherwise: [] })
  const guarded: readonly Statement[] =
    conditions.length > 0 && together === 1
      ? [{ kind: "if", condition: conditions[0]!, body: [...body, store], otherwise: [] }]
      : body
  if (turns === 1) out.push(...guarded)
  else out.push({ kind: "for", variable: name, extent: literal(turns), bind: "serial", body: guarded })
  homes.set(local.name, { array, scalar: undefined, offset })
}

/** The locals that a store reads, those that they read first. */
function wantedLocals(store: Store, locals: readonly Local[]): readonly Local[] {
  const names = new Set<string>()
  const visit = (x: Expression) =>
    walk(x, (e) => {
      if (e.kind !== "localRead" || names.has(e.local)) return
      names.add(e.local)
      visit(locals.find((l) => l.name === e.local)!.value)
    })
  visit(store.value)
  for (const i of store.index) visit(i)
  return locals.filter((l) => names.has(l.name))
}

/**
 * Per local and axis: the axis of the store at whose own point it is always read, or undefined when it is read elsewhere, too. A local that is
 * read by another local at that one's own axis follows it.
 */
function alignLocals(
  store: Store,
  wanted: readonly Local[],
  locals: readonly Local[],
): ReadonlyMap<string, readonly (string | undefined)[]> {
  const axisNames = new Set(store.axes.map((a) => a.name))
  const found = new Map<string, (string | undefined)[]>()
  const note = (read: LocalRead, follow: (x: Expression) => string | undefined) => {
    const seen = read.index.map(follow)
    const before = found.get(read.local)
    found.set(read.local, before === undefined ? seen : before.map((b, i) => (b === seen[i] ? b : undefined)))
  }
  const reads = (x: Expression, follow: (x: Expression) => string | undefined) =>
    walk(x, (e) => {
      if (e.kind === "localRead") note(e, follow)
    })
  for (const x of [store.value, ...store.index])
    reads(x, (e) => (e.kind === "variable" && axisNames.has(e.name) ? e.name : undefined))
  // Readers before what they read: the list is in order of computation.
  for (const local of [...wanted].reverse()) {
    const mine = found.get(local.name) ?? local.axes.map(() => undefined)
    reads(locals.find((l) => l.name === local.name)!.value, (e) => {
      const i = e.kind === "variable" ? local.axes.findIndex((a) => a.name === e.name) : -1
      return i < 0 ? undefined : mine[i]
    })
  }
  return found
}
