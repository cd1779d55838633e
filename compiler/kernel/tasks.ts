/**
 * Tasks: what gets memory, each with the buffers that it reads and writes. Kernels are put together of them.
 *
 *   t1 = sum_{k}(x · w)      →   reads x and w, writes t1: a store, and the locals that it reads
 *   a call of a unit         →   reads what it is given, writes its results and the states that it moves on
 */

import { add, identity, variable } from "../ir/expression.js"
import { type Item, type Local, rootsOf, type Store } from "../ir/kernel.js"
import type { Expression } from "../ir/nodes.js"
import { loadedIn, localsIn } from "../ir/query.js"
import { ringOf } from "../ir/tensor/kept.js"
import { homeOf, sources } from "../ir/tensor/walk.js"
import { type Axis, axisNames, type Call, type Tensor } from "../ir/tensor.js"
import { hasMemory } from "../tensor/query.js"
import { partsOf } from "./binding-parts.js"
import { computed } from "./cuts.js"
import { readsInParts } from "./divide-kernel.js"
import { type createLowering, placeAround } from "./lower.js"
import { type Naming, sameArgs } from "./naming.js"

/** One tensor that gets stored, or one application of a unit. */
export interface Task {
  readonly reads: ReadonlySet<string>
  readonly writes: readonly string[]
  readonly make:
    | {
        readonly kind: "store"
        readonly tensor: Tensor
        readonly items: readonly Item[]
        readonly computes: ReadonlySet<Tensor>
      }
    | { readonly kind: "call"; readonly call: Call }
}

/** How many buffers a kernel of these tasks binds. */
export const bound = (tasks: readonly Task[]): number => new Set(tasks.flatMap((t) => [...t.reads, ...t.writes])).size

/** What tasks are made with. */
export interface Making {
  readonly lowering: ReturnType<typeof createLowering>
  readonly locals: ReadonlyMap<string, Local>
  readonly naming: Naming
  /** Tensors that are cut to have a buffer. */
  readonly buffers: ReadonlySet<Tensor>
  /** Bytes of a buffer that a kernel may bind: what is larger lies in parts. */
  readonly bindingBytes: number | undefined
}

/** The order of axes in memory: as they were mentioned first; a state's own for its updates. */
export const layout = (t: Tensor): readonly string[] => axisNames(homeOf(t) ?? t)

/** Fresh variables for the axes of an item, and the point that they span. */
export function itemAxes(
  t: Tensor,
  owner: string,
): { readonly list: readonly Axis[]; readonly point: ReadonlyMap<string, Expression> } {
  const list = t.axes.map((a) => ({ name: `${a.name}_${owner}`, extent: a.extent }))
  return { list, point: new Map(t.axes.map((a, i) => [a.name, variable(list[i]!.name)] as const)) }
}

export function storeTask(t: Tensor, computes: ReadonlySet<Tensor>, making: Making): Task {
  const { lowering, locals, naming, buffers } = making
  const source = computed(t)
  const axes = itemAxes(source, `${identity(t)}`)
  const stored = source !== t && (hasMemory(source) || buffers.has(source))
  const value = lowering.value(source, axes.point, !stored)
  const ring = t.kind === "update" ? ringOf(t.state) : undefined
  const at = layout(t).map((a) => {
    const place = axes.point.get(a)!
    return t.kind === "update" && a === t.axis ? placeAround(add(place, t.at), ring) : place
  })
  const store: Store = { kind: "store", buffer: naming.buffer(t), axes: axes.list, index: at, value }
  const items: readonly Item[] = [...localsIn([value], locals), store]
  return {
    reads: bindings(items, making),
    writes: [store.buffer],
    make: { kind: "store", tensor: t, items, computes },
  }
}

/** What the kernel of `t` computes: `t` and what is inlined or local below it. */
export function inlined(t: Tensor, hasBuffer: (t: Tensor) => boolean): ReadonlySet<Tensor> {
  const found = new Set<Tensor>([t])
  const visit = (s: Tensor) => {
    if (found.has(s) || hasBuffer(s)) return
    found.add(s)
    sources(s).forEach(visit)
  }
  sources(t).forEach(visit)
  return found
}

/** What items read, with a name for each part of a buffer whose parts they have to read at once. */
export function bindings(
  items: readonly Item[],
  { naming, bindingBytes }: Pick<Making, "naming" | "bindingBytes">,
): ReadonlySet<string> {
  const whole = loadedIn(items.flatMap(rootsOf))
  if (bindingBytes === undefined) return whole
  const names = new Set(whole)
  for (const name of whole) {
    const buffer = naming.buffers().get(name)!
    const parts = buffer.role === "input" ? partsOf(buffer, bindingBytes) : undefined
    if (parts === undefined || items.every((i) => !loadedIn(rootsOf(i)).has(name) || readsInParts(i, name))) continue
    for (let part = 1; part < parts.count; part++) names.add(`${name}/${part}`)
  }
  return names
}

const isUpdate = (t: Tensor): boolean =>
  t.kind === "update" || (t.kind === "call" && isUpdate(t.unit.results[t.result]!))

export function callTask(t: Call, calls: readonly Call[], naming: Naming): Task {
  const results = t.unit.results.map((_, i) => {
    const mine = calls.find((c) => c.unit === t.unit && sameArgs(c, t) && c.result === i)
    return mine && homeOf(mine) === undefined ? naming.buffer(mine) : undefined
  })
  const reads = new Set(t.args.map((a) => naming.buffer(a)))
  const states = t.unit.results.flatMap((r, result) => {
    const home = isUpdate(r) ? homeOf({ ...t, result }) : undefined
    return home === undefined ? [] : [naming.buffer(home)]
  })
  return { reads, writes: [...states, ...results.filter((r) => r !== undefined)], make: { kind: "call", call: t } }
}
