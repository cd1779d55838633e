/**
 * fuse: tensor → kernels. Chooses what gets memory (`cuts.ts`), lowers each such tensor to one item, and puts independent items into one
 * kernel as a sum of domains.
 *
 *   q = dot(x, wq), k = dot(x, wk), v = dot(x, wv)   →   one kernel with three stores and the row statistic of x as a local
 *
 * The result is a straight list of steps over named buffers; a repeated unit is fused once, by itself.
 */

import type { Span } from "../../runtime/errors.js"
import { identity } from "../ir/expression.js"
import { type Item, type Kernel, type KernelBuffer, type Local, rootsOf } from "../ir/kernel.js"
import type { Half, Storage } from "../ir/loop.js"
import { loadedIn, localsIn } from "../ir/query.js"
import { homeOf, sources, topological } from "../ir/tensor/walk.js"
import type { Axis, Input, Tensor, Unit } from "../ir/tensor.js"
import { axisNames, spansOf } from "../ir/tensor.js"
import { roundedOnce } from "../tensor/integer-rows.js"
import { hasMemory, size } from "../tensor/query.js"
import { madeOnce } from "../tensor/scaled-rows.js"
import { type Snapshot, snapshot } from "../tensor/snapshot.js"
import { type CutLimits, chooseCuts, computed, defaultCutLimits } from "./cuts.js"
import { decided } from "./decided.js"
import { loosen } from "./loosen.js"
import { aroundOf, createLowering, type Memory } from "./lower.js"
import { canonical } from "./name-buffers.js"
import { createNaming, type FusedBuffer, type Naming, sameArgs } from "./naming.js"
import { orderFolds } from "./order-folds.js"
import { prune } from "./prune.js"
import { bindings, bound, callTask, inlined, itemAxes, layout, storeTask, type Task } from "./tasks.js"

/** A kernel over canonical buffers; `bindings` are their names here, in order, and `computes` the tensors that it computes, sources first. */
export interface KernelStep {
  readonly kind: "kernel"
  readonly kernel: Kernel
  readonly bindings: readonly string[]
  readonly computes: readonly Tensor[]
}
export type Step =
  | KernelStep
  /** Runs the steps of a unit: `args[i]` stands for its input i, `results[i]` for its result i (undefined: nobody reads it). */
  | {
      readonly kind: "call"
      readonly unit: Unit
      readonly args: readonly string[]
      readonly results: readonly (string | undefined)[]
    }

export interface Fused {
  readonly steps: readonly Step[]
  readonly buffers: ReadonlyMap<string, FusedBuffer>
  /** The buffer of each result, in order. */
  readonly results: readonly string[]
}

export interface FuseOptions {
  readonly cuts?: CutLimits
  /** Buffers that one kernel may bind. */
  readonly bindings: number
  /** Bytes of a buffer that a kernel may bind; what is larger lies in parts (`divide-bindings.ts`). No limit when left out. */
  readonly bindingBytes?: number
  /** How the intermediate results of a program lie in memory; as their dtype when left out (`storage.ts`). */
  readonly storage?: (results: readonly Tensor[]) => (t: Tensor) => Storage
  /** What matrix units multiply, where products are left to some. */
  readonly units?: Half
  /** Whether rows have been rounded to integers (`integer-rows.ts`). */
  readonly integers?: boolean
}

export function fuse(results: readonly Tensor[], options: FuseOptions): Fused {
  const { results: now, copies } = snapshot(results)
  const order = topological(now)
  const forced = new Set<Tensor>([
    ...(options.units === "f16" ? madeOnce(order) : []),
    ...(options.integers === true ? roundedOnce(order) : []),
  ])
  for (;;) {
    const made = attempt(now, copies, options, forced)
    if ("steps" in made) return made
    for (const t of made.cuts) forced.add(t)
  }
}

/**
 * The program with `forced` cut besides what the cut list says, or more tensors to cut because kernels would bind too many buffers: of one kernel all
 * that are needed one below the other, and of several kernels those that share nothing, so that attempts are few, however many buffers there are.
 */
function attempt(
  results: readonly Tensor[],
  copies: Snapshot["copies"],
  options: FuseOptions,
  forced: ReadonlySet<Tensor>,
): Fused | { readonly cuts: ReadonlySet<Tensor> } {
  const order = topological([...copies.keys(), ...results])
  const calls = order.filter((t) => t.kind === "call")
  const storage = options.storage?.(results) ?? ((t: Tensor) => t.dtype)
  const roots = memoryRoots(order, results, [...copies.keys(), ...forced])
  const isOperand = options.units === undefined ? undefined : (t: Tensor) => storage(t) === options.units
  const cuts = chooseCuts(roots, options.cuts ?? defaultCutLimits, isOperand)
  const naming = createNaming(order, cuts.locals, (t) => copies.get(t) ?? storage(t))
  const memory = (t: Tensor): Memory | undefined => {
    if (cuts.locals.has(t)) return { kind: "local", name: naming.local(t), axes: axisNames(t) }
    if (!hasMemory(t) && !cuts.buffers.has(t)) return undefined
    return { kind: "buffer", name: naming.buffer(t), axes: layout(t), kept: aroundOf(homeOf(t)) }
  }
  const lowering = createLowering(memory)

  const locals = new Map<string, Local>()
  for (const t of order)
    if (cuts.locals.has(t)) {
      const axes = itemAxes(t, `local${identity(t)}`)
      locals.set(naming.local(t), {
        kind: "local",
        name: naming.local(t),
        axes: axes.list,
        value: lowering.value(t, axes.point, true),
      })
    }

  const making = { lowering, locals, naming, buffers: cuts.buffers, bindingBytes: options.bindingBytes }
  const tasks: Task[] = []
  for (const t of order) {
    if (t.kind === "call") {
      const first = calls.find((c) => c.unit === t.unit && sameArgs(c, t))
      if (first === t) tasks.push(callTask(t, calls, naming))
    } else if (cuts.buffers.has(t) && (t.kind !== "constant" || results.includes(t)))
      // A constant that a unit is given has its buffer from the artifact.
      tasks.push(
        storeTask(
          t,
          inlined(t, (s) => memory(s)?.kind === "buffer"),
          making,
        ),
      )
  }
  const reads = (t: Tensor, axes: readonly Axis[] = []) => {
    const value = lowering.value(t, itemAxes(t, "probe").point)
    const store = { kind: "store", buffer: "", axes, index: [], value } as const
    return bindings([...localsIn([value], locals), store], making).size
  }
  const more = tooMany(tasks, reads, (s) => memory(s) !== undefined, options.bindings)
  if (more.size > 0) return { cuts: more }
  const steps = group(tasks, naming, options)
  return { steps, buffers: naming.buffers(), results: results.map((t) => naming.buffer(t)) }
}

/** What must get memory: what is written, what units are given, and what is asked for. */
function memoryRoots(
  order: readonly Tensor[],
  results: readonly Tensor[],
  besides: readonly Tensor[],
): readonly Tensor[] {
  const roots = new Set<Tensor>()
  for (const t of order) {
    if (t.kind === "update") roots.add(t)
    if (t.kind === "call") for (const a of t.args) if (!hasMemory(a)) roots.add(a)
  }
  for (const t of results) if (!hasMemory(t)) roots.add(t)
  // A state that is read as it was and replaced as a whole is replaced through a buffer of its own.
  const raw = new Set(order.flatMap((t) => (t.kind === "update" ? [] : [...directInputs(t)])))
  for (const t of order)
    if (t.kind === "update" && t.axis === undefined && raw.has(t.state) && !hasMemory(t.value)) roots.add(t.value)
  for (const t of besides) roots.add(t)
  return [...roots]
}

/** Tensors to cut so that kernels bind at most `limit` buffers. `reads` says how many buffers computing a tensor binds, over axes of its own. */
function tooMany(
  tasks: readonly Task[],
  reads: (t: Tensor, axes?: readonly Axis[]) => number,
  hasHome: (t: Tensor) => boolean,
  limit: number,
): ReadonlySet<Tensor> {
  const more = new Set<Tensor>()
  const seen = new Set<Tensor>()
  for (const task of tasks) {
    let excess = bound([task]) - limit
    if (task.make.kind !== "store" || excess <= 0) continue
    const { tensor, computes } = task.make
    if ([...computes].some((t) => seen.has(t))) continue
    for (const t of computes) seen.add(t)
    const counts = new Map<Tensor, number>()
    const count = (t: Tensor) => {
      const known = counts.get(t) ?? reads(t)
      counts.set(t, known)
      return known
    }
    const binds = (t: Tensor) => reads(t, itemAxes(t, "probe").list) + 1
    for (let root: Tensor = computed(tensor); excess > 0; ) {
      const cut = lighten(root, hasHome, count, (t) => binds(t) <= limit, excess)
      if (cut === undefined) break
      more.add(cut)
      root = cut
      excess = binds(cut) - limit
    }
  }
  return more
}

/**
 * The smallest inlined tensor below `root` that takes at least `excess` buffers off its kernel when it gets one of its own; of those the one
 * that takes the fewest. Tensors whose own kernel fits go first: any other only moves the excess. When none takes
 * enough, the one that takes the most.
 */
function lighten(
  root: Tensor,
  hasHome: (t: Tensor) => boolean,
  reads: (t: Tensor) => number,
  fits: (t: Tensor) => boolean,
  excess: number,
): Tensor | undefined {
  const inner = new Set<Tensor>()
  const visit = (t: Tensor) => {
    for (const s of sources(t)) {
      if (inner.has(s) || hasHome(s) || (s.kind === "constant" && s.axes.length === 0)) continue
      inner.add(s)
      visit(s)
    }
  }
  visit(root)
  const saving = (t: Tensor) => reads(t) - 1
  const useful = [...inner].filter((t) => saving(t) > 0 && t.kind !== "iota")
  const enough = useful.filter((t) => saving(t) >= excess)
  const by = (f: (t: Tensor) => number) => (a: Tensor, b: Tensor) => f(a) - f(b)
  enough.sort(by(saving)).sort(by(size))
  return enough.find(fits) ?? enough[0] ?? useful.sort(by((t) => -saving(t)))[0]
}

function* directInputs(t: Tensor): Iterable<Input> {
  const args =
    t.kind === "map" || t.kind === "reduce" || t.kind === "call"
      ? t.args
      : t.kind === "gather"
        ? [t.arg, t.index]
        : t.kind === "scan" || t.kind === "reindex"
          ? [t.arg]
          : []
  for (const a of args) if (a.kind === "input") yield a
}

/** Steps in order of dependency; stores that depend on nothing of each other share a kernel while they fit its bindings. */
function group(tasks: readonly Task[], naming: Naming, options: FuseOptions): readonly Step[] {
  const level = new Map<Task, number>()
  for (const [i, task] of tasks.entries()) {
    let depth = 0
    for (const before of tasks.slice(0, i)) {
      const conflict =
        before.writes.some((w) => task.reads.has(w) || task.writes.includes(w)) ||
        task.writes.some((w) => before.reads.has(w))
      if (conflict) depth = Math.max(depth, level.get(before)! + 1)
    }
    level.set(task, depth)
  }
  const steps: Step[] = []
  for (let depth = 0; depth <= Math.max(-1, ...level.values()); depth++) {
    const here = tasks.filter((t) => level.get(t) === depth)
    for (const stores of pack(
      here.filter((t) => t.make.kind === "store"),
      options.bindings,
    ))
      steps.push({
        kind: "kernel",
        ...canonical(orderFolds(loosen(prune(decided(toKernel(stores, naming)))))),
        computes: topological(stores.flatMap(({ make }) => (make.kind === "store" ? [make.tensor] : []))).filter((t) =>
          stores.some(({ make }) => make.kind === "store" && make.computes.has(t)),
        ),
      })
    for (const { make } of here)
      if (make.kind === "call") {
        const { call } = make
        const results = call.unit.results.map((_, i) => naming.result(call, i))
        steps.push({ kind: "call", unit: call.unit, args: call.args.map((a) => naming.buffer(a)), results })
      }
  }
  return steps
}

/** First fit by number of distinct buffers. */
function pack(tasks: readonly Task[], bindings: number): readonly (readonly Task[])[] {
  const bins: Task[][] = []
  for (const task of tasks) {
    const bin = bins.find((b) => bound([...b, task]) <= bindings)
    if (bin === undefined) bins.push([task])
    else bin.push(task)
  }
  return bins
}

function toKernel(tasks: readonly Task[], naming: Naming): Kernel {
  const items = new Map<Item | string, Item>()
  const spans: Span[] = []
  let name = ""
  for (const { make } of tasks)
    if (make.kind === "store") {
      for (const item of make.items) items.set(item.kind === "local" ? item.name : item, item)
      const places = spansOf(computed(make.tensor))
      const span = places.at(-1)
      if (span !== undefined) spans.push(...places)
      name ||= naming.buffer(make.tensor)
    }
  const list = [...items.values()]
  const buffers = new Set([
    ...loadedIn(list.flatMap(rootsOf)),
    ...list.flatMap((i) => (i.kind === "store" ? [i.buffer] : [])),
  ])
  return { name, buffers: [...buffers].map((b) => plain(naming.buffers().get(b)!)), items: list, spans }
}

const plain = ({ name, dtype, storage, shape }: FusedBuffer): KernelBuffer => ({ name, dtype, storage, shape })
