/**
 * trace: model → tensor. Implements what the language calls while a model runs, and turns mistakes into diagnostics.
 *
 *   dot(x, w.q, "embed")   →   Reduce sum over embed of Map ($0 * $1) of x, q      at model.ts:41:17
 *
 * Types have caught what they can; here extents, dtypes and names are checked. Every node keeps the places of the calls that made it.
 */

import type { Extent, Traced, Tracing } from "../../dsl/tracing.js"
import { type ErrorCode, WeftError } from "../../runtime/errors.js"
import { type Dim, literalExtent } from "../ir/dim.js"
import { add, literal, mul, print, sub, TypeProblem } from "../ir/expression.js"
import { argmax, max, min, sum, top } from "../ir/monoid.js"
import { lostBy } from "../ir/tensor/kept.js"
import { homeOf, topological } from "../ir/tensor/walk.js"
import * as ir from "../ir/tensor.js"
import {
  authorSpan,
  axisName,
  dimension,
  isTensor,
  Misuse,
  numbersOf,
  shown,
  valueType,
  wholeNumber,
} from "./arguments.js"
import { axisCalls, indexCalls } from "./axis-calls.js"
import { axisOf, build, lastPlace, type Nodes, node, numeric, place, toAxis } from "./nodes.js"
import { typeScalar } from "./scalars.js"
import { mapTree, treeLeaves } from "./tree.js"

const monoids = { sum, max, min }

/** Numbers that the target chooses, by name. */
export type Choices = Readonly<Record<string, number>>

/** The compiler behind the language for one trace. Tensors are those that it made, and `given`; without `given` any input is taken. */
export function createTracing(given?: Iterable<ir.Tensor>, choices: Choices = {}): Tracing {
  const nodes: Nodes = { spans: [], own: new WeakSet(given ?? []), given }
  const problem = (code: ErrorCode, message: string, hint: string) =>
    new WeftError(code, message, { span: authorSpan(nodes.spans), hint })
  /** Runs a call of the language and reports its problems at its line. */
  const told = <R>(body: () => R): R => {
    try {
      return body()
    } catch (e) {
      if (e instanceof Misuse) throw problem(e.code, e.message, e.hint)
      if (e instanceof ir.ExtentProblem) throw extentProblem(e)
      if (e instanceof TypeProblem)
        throw problem("trace/type", e.message, "check the axes and value types of the arguments")
      throw e
    }
  }
  const extentProblem = (e: ir.ExtentProblem) =>
    problem(
      "trace/extent",
      `axis '${e.axis}' has extent ${print(e.left)} on one side and ${print(e.right)} on the other${place(e.second) ? ` (the other is made at ${place(e.second)})` : ""}`,
      "two tensors that meet in an axis name must agree in its extent; rename one of the axes, or slice",
    )
  const trace: Tracing = {
    spans: nodes.spans,
    ...valueCalls(nodes),
    ...axisCalls(nodes),
    ...indexCalls(nodes),
    ...stateCalls(nodes),
    ...extentCalls(nodes),
    call: (fn, args) => callUnit(nodes, fn, args),
    choice: (name, otherwise) => choices[name] ?? otherwise,
    fail: (code, message, hint) => {
      throw problem(code, message, hint)
    },
  }
  const reported = Object.entries(trace).map(([name, method]) => [
    name,
    typeof method === "function" ? (...args: readonly unknown[]) => told(() => method(...args)) : method,
  ])
  return Object.fromEntries(reported) as Tracing
}

/** Tensors that are made, and what maps, folds and gathers them. */
const valueCalls = (nodes: Nodes): Pick<Tracing, "constant" | "iota" | "map" | "fold" | "scan" | "top" | "gather"> => ({
  constant: (axes, values, dtype) =>
    build(nodes, ir.constant(axes.map(toAxis), numbersOf(values, valueType(dtype)), valueType(dtype))),
  iota: (axis, extent, start) =>
    build(nodes, ir.iota(toAxis({ axis, extent }), dimension(start, "the start of an iota", -lastPlace))),
  map: (fn, args, outer, claimed) => {
    const tensors = args.map((x) => node(nodes, x))
    if (tensors.length === 0) throw new Misuse("trace/argument", "there is no tensor to map over", "pass one")
    const body = typeScalar(
      fn,
      tensors.map((t) => t.dtype),
      valueType(claimed),
      authorSpan(nodes.spans),
    )
    const axes = ir.unite(tensors)
    if (!outer && !tensors.some((t) => t.axes.length === axes.length)) {
      const list = tensors.map((t) => `[${ir.axisNames(t).join(", ")}]`).join(" and ")
      throw new Misuse("trace/axis", `no argument has all axes: ${list}`, "outer unites the axes of its arguments")
    }
    return build(nodes, ir.map(body, tensors))
  },
  fold: (kind, x, axis) =>
    build(nodes, ir.reduce(monoidOf(kind), axisOf(numeric(nodes, x), axis).name, [node(nodes, x)])),
  scan: (kind, x, axis) => build(nodes, ir.scan(monoidOf(kind), axisOf(numeric(nodes, x), axis).name, node(nodes, x))),
  top: (x, axis, k, slot) => {
    const along = axisOf(numeric(nodes, x), axis)
    const whole = literalExtent(along.extent)
    if (whole === 0) throw new Misuse("trace/extent", `axis '${axis}' has no elements to rank`, "give it at least one")
    if (slot !== undefined) {
      wholeNumber(k, "the count of a top", 1)
      if (whole !== undefined && k > whole)
        throw new Misuse("trace/extent", `top ${k} of axis '${axis}' of ${whole}`, "ask for as many as there are")
      if (slot !== axis && ir.axisOf(node(nodes, x), axisName(slot)) !== undefined)
        throw new Misuse("trace/axis", `axis '${slot}' exists already`, "give the new axis a name of its own")
    }
    const monoid = slot === undefined ? argmax : top(k)
    const part = (component: number) => build(nodes, ir.reduce(monoid, axis, [node(nodes, x)], component, slot))
    return { value: part(0), index: part(1) }
  },
  gather: (x, axis, index) =>
    build(nodes, ir.gather(node(nodes, x), axisOf(node(nodes, x), axis).name, node(nodes, index))),
})

/** States that are written. */
const stateCalls = (nodes: Nodes): Pick<Tracing, "append" | "assign"> => ({
  append: (state, axis, x) => {
    const t = node(nodes, state)
    const value = node(nodes, x)
    if (t.kind !== "input" || t.role !== "state")
      throw new Misuse(
        "trace/state",
        "append takes a state as it was given to the model",
        "append once per step, to the past itself",
      )
    const past = axisOf(t, axis).extent
    const count = axisOf(value, axis).extent
    checkKept(t, axis, value)
    return build(nodes, ir.update(t, axis, past, value, add(past, count)))
  },
  assign: (state, x) => {
    const t = node(nodes, state)
    if (t.kind !== "input" || t.role !== "state")
      throw new Misuse(
        "trace/state",
        "assign takes a state as it was given to the model",
        "assign once per step, to the past itself",
      )
    const value = node(nodes, x)
    checkKept(t, undefined, value)
    return build(nodes, ir.update(t, undefined, literal(0), value))
  },
})

function checkKept(state: ir.Input, axis: string | undefined, value: ir.Tensor): void {
  const lost = lostBy(state, axis, value)
  if (lost !== undefined)
    throw new Misuse("trace/state", lost, "append as many rows as there are tokens, or let the state grow: grows(…)")
}

/** What a tensor is, and arithmetic of extents. */
const extentCalls = (nodes: Nodes): Pick<Tracing, "extent" | "axes" | "dtype" | "plus" | "minus" | "times"> => ({
  extent: (x, axis) => fromDim(axisOf(node(nodes, x), axis).extent),
  axes: (x) => ir.axisNames(node(nodes, x)),
  dtype: (x) => node(nodes, x).dtype,
  plus: (a, b) => fromDim(add(term(a), term(b))),
  minus: (a, b) => fromDim(sub(term(a), term(b))),
  times: (a, b) => fromDim(mul(term(a), term(b))),
})

/** Runs a function once for placeholders of its arguments: a repeated unit. */
function callUnit<A extends readonly unknown[], R>(nodes: Nodes, fn: (...args: A) => R, args: A): R {
  if (typeof fn !== "function")
    throw new Misuse("trace/argument", `call takes a function, not ${shown(fn)}`, "call(layer, x, weights)")
  const leaves = treeLeaves(args, isTensor)
  const passed = leaves.map(({ value }) => node(nodes, value as Traced))
  const placeholders = leaves.map(({ path, value }) => placeholder(path, value as ir.Tensor))
  for (const p of placeholders) nodes.own.add(p)
  let next = 0
  const result = fn(...(mapTree(args, isTensor, () => placeholders[next++]) as unknown as A))
  const results = treeLeaves(result, isTensor).map(({ value }) => node(nodes, value as Traced))
  if (results.length === 0)
    throw new Misuse(
      "trace/argument",
      `the repeated unit '${fn.name}' returns ${shown(result)}, without a tensor`,
      "return a tensor, or a tree of them",
    )
  for (const t of topological(results))
    if (t.kind === "input" && !placeholders.includes(t))
      throw new Misuse(
        "trace/capture",
        `the repeated unit '${fn.name}' uses '${t.name}' from outside`,
        "pass it as an argument",
      )
  const unit = ir.unit(fn.name || "unit", placeholders, results)
  let at = 0
  return mapTree(result, isTensor, () => build(nodes, ir.call(unit, passed, at++))) as R
}

const term = (e: Extent) => dimension(e, "a part of an extent", -lastPlace)

function monoidOf(kind: unknown) {
  if (kind === "sum" || kind === "max" || kind === "min") return monoids[kind]
  throw new Misuse("trace/argument", `there is no fold ${shown(kind)}`, 'it is "sum", "max" or "min"')
}

function placeholder(path: string, t: ir.Tensor): ir.Input {
  const home = homeOf(t)
  // What a step has appended lies in the state's memory and keeps its layout, but is not a state to append to.
  if (home !== undefined)
    return ir.input(path, t === home ? t.role : "weight", t.axes, t.dtype, home.storage, home.capacity, home)
  const capacity = t.axes.map(() => 0)
  return ir.input(path, "input", t.axes, t.dtype, t.dtype, capacity)
}

const fromDim = (d: Dim): Extent => literalExtent(d) ?? (d as unknown as Extent)
