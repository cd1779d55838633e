/**
 * Whether a kernel is well formed.
 *
 *   verifyKernel(kernel)   →   [{ code: "kernel/order", message: "item 0 (store y): local 'm' is read before it is computed" }]
 *
 * Checked: nodes of the kernel language only, one meaning for every name, free variables among the item's axes, locals before their reads, no item that
 * reads what another stores, index arity and dtypes. Not checked, for it needs values: that indices stay within capacities and that distinct points
 * store to distinct elements; the interpreter faults there.
 */

import { freeVariables, print, walk } from "../expression.js"
import { type Item, type Kernel, type KernelBuffer, type Local, rootsOf } from "../kernel.js"
import { storageType } from "../loop.js"
import { liftCount, monoidKey, monoidParts, partOf } from "../monoid.js"
import type { Component, Expression, Reduce, Scan } from "../nodes.js"
import type { DType } from "../operations.js"
import { loadedIn, nodesOf } from "../query.js"

export type KernelProblemCode =
  | "kernel/name" /* a name that means nothing or two things */
  | "kernel/axis" /* an axis bound twice */
  | "kernel/free" /* a variable that no axis of the item binds */
  | "kernel/order" /* a local read before it is computed */
  | "kernel/hazard" /* an item reads what another item stores */
  | "kernel/arity" /* the wrong number of indices, lifted values or ranks */
  | "kernel/dtype" /* a dtype that is not the buffer's, the local's or the index's */
  | "kernel/node" /* a node of another language */
  | "kernel/monoid" /* a prefix of an online monoid */
  | "kernel/shape" /* a capacity that is no count */

export interface KernelProblem {
  readonly code: KernelProblemCode
  readonly message: string
}

type Report = (code: KernelProblemCode, message: string) => void

/** The problems of a kernel; none when it is well formed. */
export function verifyKernel(kernel: Kernel): KernelProblem[] {
  const problems: KernelProblem[] = []
  const reporter =
    (where: string): Report =>
    (code, message) =>
      problems.push({ code, message: `${where}${message}` })
  const buffers = verifyBuffers(kernel, reporter(""))
  const locals = new Map(kernel.items.flatMap((i) => (i.kind === "local" ? [[i.name, i] as const] : [])))
  const axes = new Map<string, object>()
  const before = new Set<string>()
  kernel.items.forEach((item, i) => {
    const report = reporter(`item ${i} (${item.kind} ${item.kind === "local" ? item.name : item.buffer}): `)
    verifyItem(item, buffers, report)
    for (const x of rootsOf(item)) verifyFree(x, item, report)
    for (const a of item.axes) {
      bind(a.name, a, axes, report)
      if (a.extent.dtype !== "i32" || freeVariables(a.extent).size > 0)
        report("kernel/free", `the extent ${print(a.extent)} of '${a.name}' is not fixed`)
    }
    const seen = new Set<Expression>()
    const see = (x: Expression) => verifyNode(x, { buffers, locals, before, axes, report })
    for (const x of rootsOf(item)) walk(x, see, seen)
    if (item.kind !== "local") return
    if (before.has(item.name) || buffers.has(item.name)) report("kernel/name", `'${item.name}' is a name already`)
    before.add(item.name)
  })
  verifyHazards(kernel, reporter)
  return problems
}

function verifyBuffers(kernel: Kernel, report: Report): ReadonlyMap<string, KernelBuffer> {
  const found = new Map<string, KernelBuffer>()
  for (const b of kernel.buffers) {
    if (found.has(b.name)) report("kernel/name", `there are two buffers '${b.name}'`)
    if (storageType(b.storage) !== b.dtype)
      report("kernel/dtype", `${b.storage} of '${b.name}' does not hold ${b.dtype}`)
    if (!b.shape.every((n) => Number.isInteger(n) && n >= 0))
      report("kernel/shape", `[${b.shape.join(", ")}] is no shape for '${b.name}'`)
    found.set(b.name, b)
  }
  return found
}

function verifyItem(item: Item, buffers: ReadonlyMap<string, KernelBuffer>, report: Report): void {
  if (item.kind === "local") return
  const buffer = buffers.get(item.buffer)
  if (buffer === undefined) {
    report("kernel/name", `there is no buffer '${item.buffer}'`)
    return
  }
  verifyPosition(item.index, buffer.shape.length, `'${item.buffer}'`, report)
  if (item.value.dtype !== buffer.dtype)
    report("kernel/dtype", `a ${item.value.dtype} is stored in '${item.buffer}', which is ${buffer.dtype}`)
}

function verifyFree(x: Expression, item: Item, report: Report): void {
  for (const name of freeVariables(x))
    if (!item.axes.some((a) => a.name === name)) report("kernel/free", `'${name}' is not bound`)
}

function verifyPosition(index: readonly Expression[], arity: number, of: string, report: Report): void {
  if (index.length !== arity) report("kernel/arity", `${of} has ${arity} axes and gets ${index.length} indices`)
  for (const x of index) if (x.dtype !== "i32") report("kernel/dtype", `the index ${print(x)} of ${of} is ${x.dtype}`)
}

/** What owns the axes of folds: folds side by side may share a name (and a schedule), never one inside of the other. */
const folds = {}

const isFoldedInside = (name: string, roots: readonly Expression[]): boolean =>
  nodesOf(roots, "reduce", "scan").some((x) => x.axis === name)

/** An axis belongs to one item or to folds. */
function bind(name: string, owner: object, axes: Map<string, object>, report: Report): void {
  const known = axes.get(name)
  if (known !== undefined && known !== owner) report("kernel/axis", `axis '${name}' is bound twice`)
  axes.set(name, owner)
}

interface Scope {
  readonly buffers: ReadonlyMap<string, KernelBuffer>
  readonly locals: ReadonlyMap<string, Local>
  readonly before: ReadonlySet<string>
  readonly axes: Map<string, object>
  readonly report: Report
}

function verifyNode(x: Expression, { buffers, locals, before, axes, report }: Scope): void {
  if (x.width !== 1) report("kernel/node", `${x.kind} has ${x.width} lanes`)
  switch (x.kind) {
    case "literal":
    case "symbol":
    case "operation":
      return
    case "variable":
      expect(report, x.dtype, "i32", `'${x.name}'`)
      return
    case "load": {
      const buffer = buffers.get(x.buffer)
      if (buffer === undefined) {
        report("kernel/name", `there is no buffer '${x.buffer}'`)
        return
      }
      expect(report, x.dtype, buffer.dtype, `'${x.buffer}'`)
      verifyPosition(x.index, buffer.shape.length, `'${x.buffer}'`, report)
      return
    }
    case "localRead": {
      const local = locals.get(x.local)
      if (local === undefined) {
        report("kernel/name", `there is no local '${x.local}'`)
        return
      }
      if (!before.has(x.local)) report("kernel/order", `local '${x.local}' is read before it is computed`)
      expect(report, x.dtype, local.value.dtype, `local '${x.local}'`)
      verifyPosition(x.index, local.axes.length, `local '${x.local}'`, report)
      return
    }
    case "reduce":
    case "scan":
      verifyFold(x, axes, report)
      return
    case "component":
      verifyComponent(x, report)
      return
    case "fetch":
    case "splat":
    case "ramp":
    case "lane":
    case "vector":
      report("kernel/node", `${x.kind} has no place in a kernel`)
      return
    default:
      x satisfies never
  }
}

function expect(report: Report, found: DType, wanted: DType, of: string): void {
  if (found !== wanted) report("kernel/dtype", `${of} is ${wanted}, not ${found}`)
}

function verifyFold(x: Reduce | Scan, axes: Map<string, object>, report: Report): void {
  bind(x.axis, folds, axes, report)
  if (isFoldedInside(x.axis, x.lift)) report("kernel/axis", `axis '${x.axis}' is bound inside of itself`)
  expect(report, x.kind === "reduce" ? x.extent.dtype : x.at.dtype, "i32", `the extent of '${x.axis}'`)
  const arity = liftCount(x.monoid)
  if (x.lift.length !== arity) {
    report("kernel/arity", `${monoidKey(x.monoid)} folds ${arity} values, not ${x.lift.length}`)
    return
  }
  for (const { monoid, at } of monoidParts(x.monoid)) {
    if (monoid.kind === "argmax" || monoid.kind === "top")
      expect(report, x.lift[at + 1]!.dtype, "i32", `the index of ${monoidKey(monoid)}`)
    if (monoid.kind !== "online") continue
    if (x.kind === "scan") report("kernel/monoid", `a prefix of ${monoidKey(monoid)} is not defined`)
    for (const l of x.lift.slice(at, at + liftCount(monoid)))
      expect(report, l.dtype, "f32", `what ${monoidKey(monoid)} folds`)
  }
}

function verifyComponent({ of, index, slot }: Component, report: Report): void {
  const part = partOf(of.monoid, index)
  if (part === undefined) {
    report("kernel/arity", `${monoidKey(of.monoid)} has no component ${index}`)
    return
  }
  if (slot !== undefined && part.monoid.kind !== "top")
    report("kernel/arity", `component ${index} of ${monoidKey(of.monoid)} has no ranks`)
  if (slot !== undefined && slot.dtype !== "i32") report("kernel/dtype", `the rank ${print(slot)} is ${slot.dtype}`)
}

function verifyHazards(kernel: Kernel, reporter: (where: string) => Report): void {
  kernel.items.forEach((item, i) => {
    const read = loadedIn(rootsOf(item))
    kernel.items.forEach((other, j) => {
      if (i !== j && other.kind === "store" && read.has(other.buffer))
        reporter("")("kernel/hazard", `item ${i} reads '${other.buffer}', which item ${j} stores`)
    })
  })
}
