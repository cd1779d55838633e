/**
 * trace: model → tensor. Implements what the language calls while a model runs, and turns mistakes into diagnostics.
 *
 *   dot(x, w.q, "embed")   →   Reduce sum over embed of Map ($0 * $1) of x, q      at qwen3.ts:41:17
 *
 * Types have caught what they can; here extents, dtypes and names are checked. Every node keeps the places of the calls that made it.
 */
import type { SourceSpan } from "../../dsl/attach.js"
import type { Extent, Traced, Tracing } from "../../dsl/tracing.js"
import { WeftError } from "../../runtime/errors.js"
import { type Dim, dim, literalExtent } from "../ir/dim.js"
import { add, apply, literal, mul, print, sub, TypeProblem, variable } from "../ir/expression.js"
import { argmax, max, min, sum, top } from "../ir/monoid.js"
import type { Expression } from "../ir/nodes.js"
import * as ir from "../ir/tensor.js"
import { typeScalar } from "./scalars.js"
import { mapTree, treeLeaves } from "./tree.js"

const monoids = { sum, max, min }

/** The compiler behind the language for one trace. */
export function createTracing(): Tracing {
  const spans: SourceSpan[] = []
  const node = (t: Traced): ir.Tensor => {
    if (!isTensor(t))
      throw problem(
        "trace/tensor",
        "this is not a tensor of the running trace",
        "pass a tensor, not a specification or an extent",
      )
    return t as unknown as ir.Tensor
  }
  const problem = (code: string, message: string, hint: string) =>
    new WeftError(code, message, { span: spans.at(-1), hint })

  /** Runs a constructor, marks its node with the places, and reports its problems. */
  const build = (make: () => ir.Tensor): Traced => {
    try {
      const made = make()
      ir.mark(made, spans)
      return made as unknown as Traced
    } catch (e) {
      if (e instanceof ir.ExtentProblem) throw extentProblem(e)
      if (e instanceof TypeProblem)
        throw problem("trace/type", e.message, "check the axes and value types of the arguments")
      throw e
    }
  }
  const extentProblem = (e: ir.ExtentProblem) => {
    const second = place(e.second)
    return problem(
      "trace/extent",
      `axis '${e.axis}' has extent ${print(e.left)} on one side and ${print(e.right)} on the other${second ? ` (the other is made at ${second})` : ""}`,
      "two tensors that meet in an axis name must agree in its extent; rename one of the axes, or slice",
    )
  }
  const axisOf = (x: ir.Tensor, name: string): ir.Axis => {
    const found = ir.axisOf(x, name)
    if (found === undefined)
      throw problem(
        "trace/axis",
        `there is no axis '${name}' here; the axes are ${
          ir
            .axisNames(x)
            .map((a) => `'${a}'`)
            .join(", ") || "none"
        }`,
        "name one of them",
      )
    return found
  }
  /** x with one axis replaced by `made`, whose coordinates give the old index. */
  const replaceAxis = (
    x: ir.Tensor,
    axis: string,
    made: readonly ir.Axis[],
    index: Expression,
    valid?: Expression,
    fill?: number,
  ) => {
    axisOf(x, axis)
    const axes = x.axes.flatMap((a) => (a.name === axis ? made : [a]))
    const map = new Map(x.axes.map((a) => [a.name, a.name === axis ? index : variable(a.name)] as const))
    return build(() => ir.reindex(x, axes, map, valid, fill))
  }

  const trace: Tracing = {
    spans,
    constant: (axes, values, dtype) => build(() => ir.constant(axes.map(toAxis), values, dtype)),
    iota: (axis, extent, start) => build(() => ir.iota({ name: axis, extent: toDim(extent) }, toDim(start))),
    map: (fn, args, outer, claimed) => {
      const tensors = args.map(node)
      const body = typeScalar(
        fn,
        tensors.map((t) => t.dtype),
        claimed,
        spans.at(-1),
      )
      return build(() => {
        const axes = ir.unite(tensors)
        if (!outer && tensors.length > 0 && !tensors.some((t) => t.axes.length === axes.length)) {
          const list = tensors.map((t) => `[${ir.axisNames(t).join(", ")}]`).join(" and ")
          throw new TypeProblem(`no argument has all axes: ${list}`)
        }
        return ir.map(body, tensors)
      })
    },
    fold: (kind, x, axis) => build(() => ir.reduce(monoids[kind], axisOf(node(x), axis).name, [node(x)])),
    scan: (kind, x, axis) => build(() => ir.scan(monoids[kind], axisOf(node(x), axis).name, node(x))),
    top: (x, axis, k, slot) => {
      if (literalExtent(axisOf(node(x), axis).extent) === 0)
        throw problem("trace/extent", `axis '${axis}' has no elements to rank`, "give it at least one")
      const monoid = slot === undefined ? argmax : top(k)
      const part = (component: number) => build(() => ir.reduce(monoid, axis, [node(x)], component, slot))
      return { value: part(0), index: part(1) }
    },
    rename: (x, from, to) =>
      replaceAxis(node(x), from, [{ name: to, extent: axisOf(node(x), from).extent }], variable(to)),
    split: (x, axis, parts) => {
      const made = parts.map(toAxis)
      const product = made.reduce<Dim>((n, a) => mul(n, a.extent), literal(1))
      const { extent } = axisOf(node(x), axis)
      if (product !== extent)
        throw problem(
          "trace/extent",
          `axis '${axis}' of ${print(extent)} cannot be split into ${made.map((a) => print(a.extent)).join(" × ")}`,
          "the product must be the extent",
        )
      return replaceAxis(node(x), axis, made, flatten(made))
    },
    merge: (x, axes, to) => {
      const t = node(x)
      const merged = axes.map((a) => axisOf(t, a))
      const extent = merged.reduce<Dim>((n, a) => mul(n, a.extent), literal(1))
      const index = unflatten(merged, variable(to))
      const result = [...t.axes.filter((a) => !axes.includes(a.name)), { name: to, extent }]
      return build(() =>
        ir.reindex(t, result, new Map(t.axes.map((a) => [a.name, index.get(a.name) ?? variable(a.name)]))),
      )
    },
    slice: (x, axis, start, extent) => {
      const whole = literalExtent(axisOf(node(x), axis).extent)
      const [first, count] = [literalExtent(toDim(start)), literalExtent(toDim(extent))]
      if (
        whole !== undefined &&
        first !== undefined &&
        count !== undefined &&
        (first < 0 || count < 0 || first + count > whole)
      )
        throw problem(
          "trace/extent",
          `slice ${first} … ${first + count - 1} leaves axis '${axis}' of ${whole}`,
          "stay within the axis",
        )
      return replaceAxis(node(x), axis, [{ name: axis, extent: toDim(extent) }], add(variable(axis), toDim(start)))
    },
    pick: (x, axis, index) => {
      const whole = literalExtent(axisOf(node(x), axis).extent)
      const at = literalExtent(toDim(index))
      if (whole !== undefined && at !== undefined && (at < 0 || at >= whole))
        throw problem("trace/extent", `index ${at} leaves axis '${axis}' of ${whole}`, "stay within the axis")
      return replaceAxis(node(x), axis, [], toDim(index))
    },
    roll: (x, axis, by) => {
      const a = axisOf(node(x), axis)
      const whole = literalExtent(a.extent)
      if (whole === undefined)
        throw problem(
          "trace/extent",
          `axis '${axis}' of symbolic extent cannot be rolled`,
          "roll needs a literal extent",
        )
      return replaceAxis(
        node(x),
        axis,
        [a],
        apply("floormod", add(variable(axis), literal(((by % whole) + whole) % whole)), literal(whole)),
      )
    },
    reverse: (x, axis) => {
      const a = axisOf(node(x), axis)
      return replaceAxis(node(x), axis, [a], sub(sub(a.extent, literal(1)), variable(axis)))
    },
    pad: (x, axis, before, after, value) => {
      const a = axisOf(node(x), axis)
      const at = sub(variable(axis), literal(before))
      const valid = apply("and", apply("ge", at, literal(0)), apply("lt", at, a.extent))
      return replaceAxis(
        node(x),
        axis,
        [{ name: axis, extent: add(a.extent, literal(before + after)) }],
        at,
        valid,
        value,
      )
    },
    windows: (x, axis, count, tap) => {
      const a = axisOf(node(x), axis)
      const whole = literalExtent(a.extent)
      if (!Number.isInteger(count) || count < 1 || (whole !== undefined && count > whole))
        throw problem(
          "trace/extent",
          `windows of ${count} do not fit axis '${axis}' of ${print(a.extent)}`,
          "a window has from 1 to as many elements as the axis; pad gives the axis more",
        )
      const starts = { name: axis, extent: sub(a.extent, literal(count - 1)) }
      return replaceAxis(
        node(x),
        axis,
        [starts, { name: tap, extent: literal(count) }],
        add(variable(axis), variable(tap)),
      )
    },
    gather: (x, axis, index) => build(() => ir.gather(node(x), axisOf(node(x), axis).name, node(index))),
    append: (state, axis, x) => {
      const t = node(state)
      const value = node(x)
      if (t.kind !== "input" || t.role !== "state")
        throw problem(
          "trace/state",
          "append takes a state as it was given to the model",
          "append once per step, to the past itself",
        )
      const past = axisOf(t, axis).extent
      const count = axisOf(value, axis).extent
      return build(() => ir.update(t, axis, past, value, add(past, count)))
    },
    assign: (state, x) => {
      const t = node(state)
      if (t.kind !== "input" || t.role !== "state")
        throw problem(
          "trace/state",
          "assign takes a state as it was given to the model",
          "assign once per step, to the past itself",
        )
      return build(() => ir.update(t, undefined, literal(0), node(x)))
    },
    call: <A extends readonly unknown[], R>(fn: (...args: A) => R, args: A): R => {
      const leaves = treeLeaves(args, isTensor)
      const placeholders = leaves.map(({ path, value }) => placeholder(path, value as ir.Tensor))
      let next = 0
      const result = fn(...(mapTree(args, isTensor, () => placeholders[next++]) as unknown as A))
      const results = treeLeaves(result, isTensor).map(({ value }) => value as ir.Tensor)
      for (const t of ir.topological(results))
        if (t.kind === "input" && !placeholders.includes(t))
          throw problem(
            "trace/capture",
            `the repeated unit '${fn.name}' uses '${t.name}' from outside`,
            "pass it as an argument",
          )
      const unit = ir.unit(fn.name || "unit", placeholders, results)
      let at = 0
      return mapTree(result, isTensor, () => {
        const i = at++
        return build(() =>
          ir.call(
            unit,
            leaves.map(({ value }) => value as ir.Tensor),
            i,
          ),
        )
      }) as R
    },
    extent: (x, axis) => fromDim(axisOf(node(x), axis).extent),
    axes: (x) => ir.axisNames(node(x)),
    dtype: (x) => node(x).dtype,
    plus: (a, b) => fromDim(add(toDim(a), toDim(b))),
    minus: (a, b) => fromDim(sub(toDim(a), toDim(b))),
    times: (a, b) => fromDim(mul(toDim(a), toDim(b))),
    fail: (code, message, hint) => {
      throw problem(code, message, hint)
    },
  }
  return trace
}

const kinds: ReadonlySet<string> = new Set([
  "input",
  "constant",
  "iota",
  "map",
  "reduce",
  "scan",
  "reindex",
  "gather",
  "update",
  "call",
])

/** Whether a value of a model's tree is a tensor (and not a specification, an extent or a plain object). */
export function isTensor(x: unknown): boolean {
  return (
    typeof x === "object" &&
    x !== null &&
    "axes" in x &&
    "dtype" in x &&
    "kind" in x &&
    kinds.has((x as { kind: string }).kind)
  )
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
  const span = ir.spansOf(t).at(-1)
  return span && `${span.file}:${span.line}:${span.column}`
}

const toDim = (e: Extent): Dim => (typeof e === "number" ? dim(e) : (e as unknown as Dim))
const fromDim = (d: Dim): Extent => literalExtent(d) ?? (d as unknown as Extent)
const toAxis = (a: { axis: string; extent: Extent }): ir.Axis => ({ name: a.axis, extent: toDim(a.extent) })

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
