/**
 * divide-kernel: weights larger than a device binds at once lie in several buffers of whole rows, and kernels read them there.
 *
 *   limit: 2 rows of w[out < 5, k]
 *   store y[out] over out < 5 = sum_k(x[k] · w[out, k])          a stored axis: a store for each buffer, each reading its own
 *   →  store y[out0] over out0 < 2 = sum_k(x[k] · w/0[out0, k])
 *      store y[out1 + 2] over out1 < 2 = sum_k(x[k] · w/1[out1, k])
 *      store y[out2 + 4] over out2 < 1 = sum_k(x[k] · w/2[out2, k])
 *   store y[i] over i < n = w[id[i], 3]                          a row that data choose: all buffers are read, one value is taken
 *   →  store y[i] over i < n = select(id[i] < 2, w/0[min(id[i], 1), 3], select(id[i] < 4, w/1[…], w/2[…]))
 *
 * Rows are those of the slowest axis. Stores that bind too much together become kernels of their own, side by side. A store that binds too
 * much alone becomes several that run one after the other: each computes the rows of some of the parts and leaves the others as they were.
 */

import { WeftError } from "../../runtime/errors.js"
import { literalExtent } from "../ir/dim.js"
import { and, apply, freeVariables, literal, load, substitute, variable } from "../ir/expression.js"
import { type Item, type Kernel, type KernelBuffer, type Local, rootsOf, type Store } from "../ir/kernel.js"
import type { Expression } from "../ir/nodes.js"
import { loadedIn, localsIn, nodesOf } from "../ir/query.js"
import { type BindingParts, type Move, moved, partName, type Rows, relocate, type Stretch } from "./binding-parts.js"
import { canonical } from "./name-buffers.js"

/** The axis of a store along which all that is read of `buffer` can be divided: its rows, read one by one. */
function dividedAxis(item: Item, buffer: string): string | undefined {
  if (item.kind === "local") return undefined
  const rows = new Set(nodesOf(rootsOf(item), "load").flatMap((l) => (l.buffer === buffer ? [l.index[0]!] : [])))
  const [row, ...others] = rows
  if (row?.kind !== "variable" || others.length > 0) return undefined
  const axis = item.axes.find((a) => a.name === row.name)
  return axis !== undefined && literalExtent(axis.extent) !== undefined ? axis.name : undefined
}

/** Whether an item can read `buffer` part by part: along an axis that it stores, or in turns. */
export const readsInParts = (item: Item, buffer: string): boolean =>
  item.kind === "store" && (dividedAxis(item, buffer) !== undefined || chosenRows(item, [buffer]).length > 0)

/** A kernel over parts: for each of its bindings, the binding of the kernel that it comes from, and which part of that buffer. */
export interface Piece {
  readonly kernel: Kernel
  readonly bindings: readonly { readonly binding: number; readonly part: number }[]
}

/**
 * The kernels that compute what `kernel` does when some of its buffers, by name, are in parts, each binding at most `most` buffers. They
 * run in their order.
 *
 * @throws WeftError `compile/bindings` when a store binds more however it is taken apart
 */
export function divideKernel(kernel: Kernel, parts: ReadonlyMap<string, BindingParts>, most: number): readonly Piece[] {
  const names = new Map<string, { readonly binding: number; readonly part: number }>()
  const declared = kernel.buffers.flatMap((b, binding) => {
    const divided = parts.get(b.name)
    if (divided === undefined) {
      names.set(b.name, { binding, part: 0 })
      return [b]
    }
    return Array.from({ length: divided.count }, (_, part): KernelBuffer => {
      const name = partName(b.name, part)
      names.set(name, { binding, part })
      const rows = Math.min(divided.rows, b.shape[0]! - part * divided.rows)
      return { ...b, name, shape: [rows, ...b.shape.slice(1)] }
    })
  })
  const locals = new Map<string, Local>()
  for (const item of kernel.items)
    if (item.kind === "local") locals.set(item.name, { ...item, value: relocate(item.value, { parts }) })
  const fits = (store: Store) => boundBy(withLocals(store, locals)).size <= most
  const stores = kernel.items.flatMap((item) =>
    item.kind === "local" ? [] : divide(item, parts).flatMap((d) => inTurns(item, d, parts, fits, kernel)),
  )
  return packed(stores, locals, most).map((items) => {
    const made = canonical({ ...kernel, buffers: declared, items })
    return { kernel: made.kernel, bindings: made.bindings.map((name) => names.get(name)!) }
  })
}

/** For each store that `store` becomes, how its axes and values are moved: one for each combination of stretches. */
function divide(store: Store, parts: ReadonlyMap<string, BindingParts>): readonly Move[] {
  const starts = new Map<string, Set<number>>()
  const along = new Map<string, string>()
  for (const [buffer, { rows, count }] of parts) {
    const axis = dividedAxis(store, buffer)
    if (axis === undefined) continue
    along.set(buffer, axis)
    const known = starts.get(axis) ?? new Set([0])
    starts.set(axis, known)
    for (let part = 1; part < count; part++) known.add(part * rows)
  }
  let combinations: readonly ReadonlyMap<string, Omit<Stretch, "name">>[] = [new Map()]
  for (const { name, extent } of store.axes) {
    const found = starts.get(name)
    if (found === undefined) continue
    const whole = literalExtent(extent)!
    const bounds = [...[...found].filter((b) => b < whole), whole].sort((a, b) => a - b)
    const stretches = bounds.slice(0, -1).map((start, i) => ({ start, extent: bounds[i + 1]! - start }))
    combinations = combinations.flatMap((c) => stretches.map((s) => new Map(c).set(name, s)))
  }
  // Each store has axes of its own.
  return combinations.map((c, i) => {
    const own = ({ name }: { name: string }) =>
      [name, { name: i === 0 ? name : `${name}_${i}`, ...(c.get(name) ?? { start: 0 }) }] as const
    return { parts, along, at: new Map(store.axes.map(own)) }
  })
}

/** The moved store, or, where it binds too much, stores that each take some rows of what data choose, one after the other. */
function inTurns(
  store: Store,
  move: Move,
  parts: ReadonlyMap<string, BindingParts>,
  fits: (store: Store) => boolean,
  kernel: Kernel,
): readonly Store[] {
  const chosen = chosenRows(
    store,
    [...parts.keys()].filter((b) => !move.along!.has(b)),
  )
  const extent = (buffer: string) => kernel.buffers.find((b) => b.name === buffer)!.shape[0]!
  const stretches = chosen.map(({ buffers }): Rows => ({ first: 0, end: Math.max(...buffers.map(extent)) }))
  /** The bounds of parts strictly inside of a stretch of the rows of `chosen[i]`. */
  const inside = (i: number, { first, end }: Rows): readonly number[] => {
    const bounds = chosen[i]!.buffers.flatMap((b) =>
      Array.from({ length: parts.get(b)!.count }, (_, n) => n * parts.get(b)!.rows),
    )
    return [...new Set(bounds)].filter((b) => b > first && b < end).sort((a, b) => a - b)
  }
  const split = (now: readonly Rows[]): readonly (readonly Rows[])[] => {
    const rows = new Map(chosen.flatMap(({ buffers }, i) => buffers.map((b) => [b, now[i]!] as const)))
    if (fits(moved(store, { ...move, rows }))) return [now]
    const counts = now.map((r, i) => inside(i, r).length * chosen[i]!.buffers.length)
    const widest = counts.indexOf(Math.max(...counts))
    const bounds = widest < 0 ? [] : inside(widest, now[widest]!)
    if (bounds.length === 0) return refuse(kernel)
    const middle = bounds[bounds.length >> 1]!
    const half = (part: Partial<Rows>) => split(now.map((r, i) => (i === widest ? { ...r, ...part } : r)))
    return [...half({ end: middle }), ...half({ first: middle })]
  }
  const turns = split(stretches)
  return turns.map((now, turn) => {
    const rows = new Map(chosen.flatMap(({ buffers }, i) => buffers.map((b) => [b, now[i]!] as const)))
    const made = moved(store, { ...move, rows })
    if (turns.length === 1) return made
    const conditions = chosen.flatMap(({ row }, i) => {
      const { first, end } = now[i]!
      const at = relocate(row, { ...move, rows })
      const whole = first === 0 && end === stretches[i]!.end
      return whole ? [] : [and(apply("le", literal(first), at), apply("lt", at, literal(end)))]
    })
    // The first turn stores everywhere, the others keep what is not theirs.
    const { value, buffer, index } = made
    const before = turn === 0 ? literal(0, value.dtype) : load(buffer, index, value.dtype)
    const taken = { ...made, value: apply("select", conditions.reduce(and), value, before) }
    return turn === 0 ? taken : renamed(taken, `_turn${turn}`)
  })
}

/** The store over axes of other names. */
function renamed(store: Store, suffix: string): Store {
  const names = new Map(store.axes.map((a) => [a.name, variable(`${a.name}${suffix}`)]))
  const rename = (x: Expression) => substitute(x, names)
  return {
    ...store,
    axes: store.axes.map((a) => ({ ...a, name: `${a.name}${suffix}` })),
    index: store.index.map(rename),
    value: rename(store.value),
  }
}

/** Rows that data choose, each a function of the store's axes, with the buffers of which nothing else is read. */
function chosenRows(store: Store, among: readonly string[]) {
  const rows = new Map<string, Set<Expression>>()
  for (const { buffer, index } of nodesOf([store.value, ...store.index], "load"))
    if (among.includes(buffer)) rows.set(buffer, (rows.get(buffer) ?? new Set()).add(index[0]!))
  const buffers = new Map<Expression, string[]>()
  for (const [buffer, [row, ...others]] of rows) {
    const own = [...freeVariables(row!)].every((v) => store.axes.some((a) => a.name === v))
    if (own && others.length === 0) buffers.set(row!, [...(buffers.get(row!) ?? []), buffer])
  }
  return [...buffers].map(([row, list]) => ({ row, buffers: list }))
}

function refuse(kernel: Kernel): never {
  throw new WeftError("compile/bindings", "a kernel reads more parts of weights than the device binds at once", {
    span: kernel.spans.at(-1),
    hint: "use a device with larger bindings, or weights in a smaller format",
  })
}

/** Stores with the locals that they read, put together while what they bind is not too much: first fit. What keeps what an earlier
 * one has stored comes after it. */
function packed(
  stores: readonly Store[],
  locals: ReadonlyMap<string, Local>,
  most: number,
): readonly (readonly Item[])[] {
  const bins: { readonly items: Set<Item>; bound: Set<string> }[] = []
  for (const store of stores) {
    const items = withLocals(store, locals)
    const bound = boundBy(items)
    const keeps = boundBy([{ ...store, buffer: "" }]).has(store.buffer)
    const bin = keeps ? undefined : bins.find((b) => new Set([...b.bound, ...bound]).size <= most)
    if (bin === undefined) bins.push({ items: new Set(items), bound })
    else {
      for (const item of items) bin.items.add(item)
      bin.bound = new Set([...bin.bound, ...bound])
    }
  }
  const order = new Map<Item, number>([...locals.values()].map((l, i) => [l, i]))
  const rank = (i: Item) => order.get(i) ?? locals.size
  return bins.map((b) => [...b.items].sort((p, q) => rank(p) - rank(q)))
}

/** A store and the locals that it reads. */
const withLocals = (store: Store, locals: ReadonlyMap<string, Local>): readonly Item[] => [
  store,
  ...localsIn(rootsOf(store), locals),
]

function boundBy(items: readonly Item[]): Set<string> {
  const names = new Set<string>()
  for (const item of items) {
    if (item.kind === "store") names.add(item.buffer)
    for (const name of loadedIn(rootsOf(item))) names.add(name)
  }
  return names
}
