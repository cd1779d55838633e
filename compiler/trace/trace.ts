/**
 * trace: model → tensor. Implements what the language calls while a model runs, and turns mistakes into diagnostics.
 *
 *   dot(x, w.q, "embed")   →   Reduce sum over embed of Map ($0 * $1) of x, q      at model.ts:41:17
 *
 * Types have caught what they can; here extents, dtypes and names are checked. Every node keeps the places of the calls that made it.
 */
import type { SourceSpan } from "../../dsl/attach.js"
import type { Extent, Traced, Tracing } from "../../dsl/tracing.js"
import { type ErrorCode, WeftError } from "../../runtime/errors.js"
import { type Dim, literalExtent } from "../ir/dim.js"
import { add, apply, literal, mul, print, sub, TypeProblem, variable } from "../ir/expression.js"
import { argmax, max, min, sum, top } from "../ir/monoid.js"
import type { Expression } from "../ir/nodes.js"
import * as ir from "../ir/tensor.js"
import {
  authorSpan,
  axisName,
  dimension,
  distinctNames,
  isTensor,
  listOf,
  Misuse,
  numberOf,
  numbersOf,
  shown,
  valueType,
  wholeNumber,
} from "./arguments.js"
import { typeScalar } from "./scalars.js"
import { mapTree, treeLeaves } from "./tree.js"

const monoids = { sum, max, min }

/** The compiler behind the language for one trace. Tensors are those that it made, and `given`; without `given` any input is taken. */
export function createTracing(given?: Iterable<ir.Tensor>): Tracing {
  const spans: SourceSpan[] = []
  const own = new WeakSet<ir.Tensor>([...(given ?? [])])
  const problem = (code: ErrorCode, message: string, hint: string) =>
    new WeftError(code, message, { span: authorSpan(spans), hint })
  const node = (t: Traced): ir.Tensor => {
    if (!isTensor(t))
      throw new Misuse(
        "trace/tensor",
        `this is ${shown(t)}, not a tensor of the running trace`,
        "pass a tensor, not a specification or an extent",
      )
    const tensor = t as unknown as ir.Tensor
    if (!own.has(tensor) && !(given === undefined && tensor.kind === "input"))
      throw new Misuse(
        "trace/tensor",
        `this tensor was made while another function was traced${from(tensor)}`,
        "make it where it is used, or pass it as an argument",
      )
    return tensor
  }
  const from = (t: ir.Tensor) => (place(t) === undefined ? "" : `, at ${place(t)}`)

  /** Marks a node with the places. */
  const build = (made: ir.Tensor): Traced => {
    ir.mark(made, spans)
    own.add(made)
    return made as unknown as Traced
  }
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
  const axisOf = (x: ir.Tensor, name: unknown): ir.Axis => {
    const found = ir.axisOf(x, axisName(name))
    if (found !== undefined) return found
    const axes = ir.axisNames(x).map((a) => `'${a}'`)
    throw new Misuse(
      "trace/axis",
      `there is no axis '${name}' here; the axes are ${axes.join(", ") || "none"}`,
      "name one of them",
    )
  }
  const numeric = (x: Traced): ir.Tensor => {
    const t = node(x)
    if (t.dtype !== "bool") return t
    throw new Misuse("trace/type", "a bool is not folded", "count with map((c) => (c ? 1 : 0), …)")
  }
  const toAxis = (a: { axis: unknown; extent: unknown }): ir.Axis => ({
    name: axisName(a.axis),
    extent: dimension(a.extent, `the extent of '${a.axis}'`),
  })
  /** x with one axis replaced by `made`, whose coordinates give the old index. */
  const replaceAxis = (
    x: ir.Tensor,
    axis: string,
    made: readonly ir.Axis[],
    index: Expression,
    valid?: Expression,
    fill?: number,
  ) => {
    const axes = x.axes.flatMap((a) => (a.name === axis ? made : [a]))
    const taken = made.find(({ name }) => name !== axis && ir.axisOf(x, name) !== undefined)
    if (taken !== undefined)
      throw new Misuse("trace/axis", `axis '${taken.name}' exists already`, "give the new axis a name of its own")
    distinctNames(made.map(({ name }) => name))
    const map = new Map(x.axes.map((a) => [a.name, a.name === axis ? index : variable(a.name)] as const))
    return build(ir.reindex(x, axes, map, valid, fill))
  }

  const trace: Tracing = {
    spans,
    constant: (axes, values, dtype) =>
      build(ir.constant(axes.map(toAxis), numbersOf(values, valueType(dtype)), valueType(dtype))),
    iota: (axis, extent, start) =>
      build(ir.iota(toAxis({ axis, extent }), dimension(start, "the start of an iota", -lastPlace))),
    map: (fn, args, outer, claimed) => {
      const tensors = args.map(node)
      if (tensors.length === 0) throw new Misuse("trace/argument", "there is no tensor to map over", "pass one")
      const body = typeScalar(
        fn,
        tensors.map((t) => t.dtype),
        valueType(claimed),
        authorSpan(spans),
      )
      const axes = ir.unite(tensors)
      if (!outer && !tensors.some((t) => t.axes.length === axes.length)) {
        const list = tensors.map((t) => `[${ir.axisNames(t).join(", ")}]`).join(" and ")
        throw new Misuse("trace/axis", `no argument has all axes: ${list}`, "outer unites the axes of its arguments")
      }
      return build(ir.map(body, tensors))
    },
    fold: (kind, x, axis) => build(ir.reduce(monoidOf(kind), axisOf(numeric(x), axis).name, [node(x)])),
    scan: (kind, x, axis) => build(ir.scan(monoidOf(kind), axisOf(numeric(x), axis).name, node(x))),
    top: (x, axis, k, slot) => {
      const along = axisOf(numeric(x), axis)
      const whole = literalExtent(along.extent)
      if (whole === 0)
        throw new Misuse("trace/extent", `axis '${axis}' has no elements to rank`, "give it at least one")
      if (slot !== undefined) {
        wholeNumber(k, "the count of a top", 1)
        if (whole !== undefined && k > whole)
          throw new Misuse("trace/extent", `top ${k} of axis '${axis}' of ${whole}`, "ask for as many as there are")
        if (slot !== axis && ir.axisOf(node(x), axisName(slot)) !== undefined)
          throw new Misuse("trace/axis", `axis '${slot}' exists already`, "give the new axis a name of its own")
      }
      const monoid = slot === undefined ? argmax : top(k)
      const part = (component: number) => build(ir.reduce(monoid, axis, [node(x)], component, slot))
      return { value: part(0), index: part(1) }
    },
    rename: (x, from, to) =>
      replaceAxis(node(x), from, [{ name: axisName(to), extent: axisOf(node(x), from).extent }], variable(to)),
    split: (x, axis, parts) => {
      const { extent } = axisOf(node(x), axis)
      const made = parts.map(toAxis)
      const product = made.reduce<Dim>((n, a) => mul(n, a.extent), literal(1))
      if (product !== extent)
        throw new Misuse(
          "trace/extent",
          `axis '${axis}' of ${print(extent)} cannot be split into ${made.map((a) => print(a.extent)).join(" × ") || "nothing"}`,
          "the product must be the extent",
        )
      return replaceAxis(node(x), axis, made, flatten(made))
    },
    merge: (x, axes, to) => {
      const t = node(x)
      const merged = distinctNames(listOf(axes, "what is merged")).map((a) => axisOf(t, a))
      if (merged.length === 0) throw new Misuse("trace/axis", "there is no axis to merge", "name two or more")
      const rest = t.axes.filter((a) => !merged.includes(a))
      if (rest.some(({ name }) => name === axisName(to)))
        throw new Misuse("trace/axis", `axis '${to}' exists already`, "give the new axis a name of its own")
      const extent = merged.reduce<Dim>((n, a) => mul(n, a.extent), literal(1))
      const index = unflatten(merged, variable(to))
      const result = [...rest, { name: to, extent }]
      return build(ir.reindex(t, result, new Map(t.axes.map((a) => [a.name, index.get(a.name) ?? variable(a.name)]))))
    },
    slice: (x, axis, start, extent) => {
      const whole = literalExtent(axisOf(node(x), axis).extent)
      const [from, length] = [dimension(start, "the start of a slice"), dimension(extent, "the count of a slice")]
      const [first, count] = [literalExtent(from) ?? 0, literalExtent(length) ?? 0]
      if (whole !== undefined && first + count > whole)
        throw new Misuse(
          "trace/extent",
          `slice ${first} … ${first + count - 1} leaves axis '${axis}' of ${whole}`,
          "stay within the axis",
        )
      return replaceAxis(node(x), axis, [{ name: axis, extent: length }], add(variable(axis), from))
    },
    pick: (x, axis, index) => {
      const whole = literalExtent(axisOf(node(x), axis).extent)
      const place = dimension(index, "the index of a pick")
      const at = literalExtent(place)
      if (whole !== undefined && at !== undefined && at >= whole)
        throw new Misuse("trace/extent", `index ${at} leaves axis '${axis}' of ${whole}`, "stay within the axis")
      return replaceAxis(node(x), axis, [], place)
    },
    roll: (x, axis, by) => {
      const a = axisOf(node(x), axis)
      const whole = literalExtent(a.extent)
      if (whole === undefined)
        throw new Misuse(
          "trace/extent",
          `axis '${axis}' of symbolic extent cannot be rolled`,
          "roll needs a literal extent",
        )
      const shift = wholeNumber(by, "the distance of a roll", -lastPlace)
      if (whole === 0) return x
      const moved = literal(((shift % whole) + whole) % whole)
      return replaceAxis(node(x), axis, [a], apply("floormod", add(variable(axis), moved), literal(whole)))
    },
    reverse: (x, axis) => {
      const a = axisOf(node(x), axis)
      return replaceAxis(node(x), axis, [a], sub(sub(a.extent, literal(1)), variable(axis)))
    },
    pad: (x, axis, before, after, value) => {
      const a = axisOf(node(x), axis)
      const more = literal(wholeNumber(before, "the padding before", 0) + wholeNumber(after, "the padding after", 0))
      const fill = numberOf(value, node(x).dtype, "the value of the padding")
      const at = sub(variable(axis), literal(before))
      const valid = apply("and", apply("ge", at, literal(0)), apply("lt", at, a.extent))
      return replaceAxis(node(x), axis, [{ name: axis, extent: add(a.extent, more) }], at, valid, fill)
    },
    windows: (x, axis, count, tap) => {
      const a = axisOf(node(x), axis)
      const whole = literalExtent(a.extent)
      if (!Number.isInteger(count) || count < 1 || (whole !== undefined && count > whole))
        throw new Misuse(
          "trace/extent",
          `windows of ${shown(count)} do not fit axis '${axis}' of ${print(a.extent)}`,
          "a window has from 1 to as many elements as the axis; pad gives the axis more",
        )
      const starts = { name: axis, extent: sub(a.extent, literal(count - 1)) }
      const taps = { name: axisName(tap), extent: literal(count) }
      return replaceAxis(node(x), axis, [starts, taps], add(variable(axis), variable(tap)))
    },
    gather: (x, axis, index) => build(ir.gather(node(x), axisOf(node(x), axis).name, node(index))),
    append: (state, axis, x) => {
      const t = node(state)
      const value = node(x)
      if (t.kind !== "input" || t.role !== "state")
        throw new Misuse(
          "trace/state",
          "append takes a state as it was given to the model",
          "append once per step, to the past itself",
        )
      const past = axisOf(t, axis).extent
      const count = axisOf(value, axis).extent
      return build(ir.update(t, axis, past, value, add(past, count)))
    },
    assign: (state, x) => {
      const t = node(state)
      if (t.kind !== "input" || t.role !== "state")
        throw new Misuse(
          "trace/state",
          "assign takes a state as it was given to the model",
          "assign once per step, to the past itself",
        )
      return build(ir.update(t, undefined, literal(0), node(x)))
    },
    call: <A extends readonly unknown[], R>(fn: (...args: A) => R, args: A): R => {
      if (typeof fn !== "function")
        throw new Misuse("trace/argument", `call takes a function, not ${shown(fn)}`, "call(layer, x, weights)")
      const leaves = treeLeaves(args, isTensor)
      const passed = leaves.map(({ value }) => node(value as Traced))
      const placeholders = leaves.map(({ path, value }) => placeholder(path, value as ir.Tensor))
      for (const p of placeholders) own.add(p)
      let next = 0
      const result = fn(...(mapTree(args, isTensor, () => placeholders[next++]) as unknown as A))
      const results = treeLeaves(result, isTensor).map(({ value }) => node(value as Traced))
      if (results.length === 0)
        throw new Misuse(
          "trace/argument",
          `the repeated unit '${fn.name}' returns ${shown(result)}, without a tensor`,
          "return a tensor, or a tree of them",
        )
      for (const t of ir.topological(results))
        if (t.kind === "input" && !placeholders.includes(t))
          throw new Misuse(
            "trace/capture",
            `the repeated unit '${fn.name}' uses '${t.name}' from outside`,
            "pass it as an argument",
          )
      const unit = ir.unit(fn.name || "unit", placeholders, results)
      let at = 0
      return mapTree(result, isTensor, () => build(ir.call(unit, passed, at++))) as R
    },
    extent: (x, axis) => fromDim(axisOf(node(x), axis).extent),
    axes: (x) => ir.axisNames(node(x)),
    dtype: (x) => node(x).dtype,
    plus: (a, b) => fromDim(add(term(a), term(b))),
    minus: (a, b) => fromDim(sub(term(a), term(b))),
    times: (a, b) => fromDim(mul(term(a), term(b))),
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

const lastPlace = 2 ** 31 - 1
const term = (e: Extent) => dimension(e, "a part of an extent", -lastPlace)

function monoidOf(kind: unknown) {
  if (kind === "sum" || kind === "max" || kind === "min") return monoids[kind]
  throw new Misuse("trace/argument", `there is no fold ${shown(kind)}`, 'it is "sum", "max" or "min"')
}

function placeholder(path: string, t: ir.Tensor): ir.Input {
  const home = ir.homeOf(t)
  // What a step has appended lies in the state's memory and keeps its layout, but is not a state to append to.
  if (home !== undefined)
    return ir.input(path, t === home ? t.role : "weight", t.axes, t.dtype, home.storage, home.capacity)
  const capacity = t.axes.map(() => 0)
  return ir.input(path, "input", t.axes, t.dtype, t.dtype, capacity)
}

/** The place of a tensor, as file:line:column of the innermost call. */
export function place(t: ir.Tensor): string | undefined {
  const span = authorSpan(ir.spansOf(t))
  return span && `${span.file}:${span.line}:${span.column}`
}

const fromDim = (d: Dim): Extent => literalExtent(d) ?? (d as unknown as Extent)

/** The row-major index of a point of `axes`. */
function flatten(axes: readonly ir.Axis[]): Expression {
  return axes.reduce<Expression>((n, a) => add(mul(n, a.extent), variable(a.name)), literal(0))
}

/** The coordinates of a row-major index; only the slowest axis may be symbolic. */
function unflatten(axes: readonly ir.Axis[], flat: Expression): ReadonlyMap<string, Expression> {
  const index = new Map<string, Expression>()
  let rest = flat
  for (const [i, a] of [...axes].reverse().entries()) {
    const last = i === axes.length - 1
    const extent = literalExtent(a.extent)
    if (last) index.set(a.name, rest)
    else {
      if (extent === undefined) throw new TypeProblem(`only the slowest merged axis may be symbolic, not '${a.name}'`)
      index.set(a.name, apply("floormod", rest, literal(extent)))
      rest = apply("floordiv", rest, literal(extent))
    }
  }
  return index
}
