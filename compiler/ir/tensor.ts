/**
 * The tensor language: a pure program over tensors with named axes.
 *
 *   Input Constant Iota Map Reduce Scan Reindex Gather Update Call
 *
 * Nodes are built by the constructors below, which check and intern them: equal nodes are one object. A node's axes are a set with names
 * and extents; their order is the order of first mention and means nothing but a default layout. Scalar bodies are expressions over
 * `$0, $1, …`; index maps are quasi-affine integer expressions over the names of the result's axes.
 */
import type { Span } from "../../runtime/errors.js"
import { type Dim, literalExtent } from "./dim.js"
import { freeVariables, identity, intern, literal, TypeProblem } from "./expression.js"
import type { Storage } from "./loop.js"
import { componentCount, liftCount, type Monoid, monoidKey, monoidTypes } from "./monoid.js"
import type { Expression } from "./nodes.js"
import { type DType, roundTo } from "./operations.js"
import type { Packed } from "./tensor/formats.js"
import { quasiAffine } from "./tensor/index-maps.js"
import { type Kept, lostBy } from "./tensor/kept.js"

export interface Axis {
  readonly name: string
  readonly extent: Dim
}

interface Common {
  readonly axes: readonly Axis[]
  readonly dtype: DType
}

export type InputRole = "weight" | "state" | "input"

export interface Input extends Common {
  readonly kind: "input"
  readonly name: string
  readonly role: InputRole
  readonly storage: Storage
  /** Extents of the memory behind it, per axis; at least the extent's maximum, but along an axis of which only the last elements are kept. */
  readonly capacity: readonly number[]
  /** A weight in a format, which pass `unpack` replaces by its planes; its storage is that of what they decode to. */
  readonly packed?: Packed
  /** An axis of which only the last elements are there; left out, all are. */
  readonly kept?: Kept
}

export interface Constant extends Common {
  readonly kind: "constant"
  readonly values: Float64Array
}
export interface Iota extends Common {
  readonly kind: "iota"
  readonly start: Dim
}
export interface Map extends Common {
  readonly kind: "map"
  readonly body: Expression
  readonly args: readonly Tensor[]
}
/** Folds the `args` (one per lifted value of the monoid; `argmax` and `top` take the value alone, the index is the position) over `axis`. */
export interface Reduce extends Common {
  readonly kind: "reduce"
  readonly axis: string
  readonly monoid: Monoid
  readonly args: readonly Tensor[]
  /** Which component of the result this node is. */
  readonly component: number
  /** The new axis of a `top`. */
  readonly slot: string | undefined
}
/** Inclusive prefixes along `axis`; with a `block` they begin again at each of its multiples. */
export interface Scan extends Common {
  readonly kind: "scan"
  readonly axis: string
  readonly monoid: Monoid
  readonly arg: Tensor
  readonly block: number | undefined
}
/** result[axes] = valid ? arg[old = index[old] …] : fill. Every old axis has an index. */
export interface Reindex extends Common {
  readonly kind: "reindex"
  readonly arg: Tensor
  readonly index: ReadonlyMap<string, Expression>
  readonly valid: Expression | undefined
  readonly fill: number
}
/** result = arg[axis = index]; indices are clamped to the axis. */
export interface Gather extends Common {
  readonly kind: "gather"
  readonly arg: Tensor
  readonly axis: string
  readonly index: Tensor
}
/** The state with value written at `at` along `axis`; its extent along `axis` is `extent`. Without an axis the whole is replaced. */
export interface Update extends Common {
  readonly kind: "update"
  readonly state: Input
  readonly axis: string | undefined
  readonly at: Dim
  readonly value: Tensor
}
/** A repeated unit: a program of its own. `inputs` are its placeholders; equal units are one object and are compiled once. */
export interface Unit {
  readonly name: string
  readonly inputs: readonly Input[]
  readonly results: readonly Tensor[]
}
/** One result of a unit applied to `args`. The calls of one application share `unit` and `args`. */
export interface Call extends Common {
  readonly kind: "call"
  readonly unit: Unit
  readonly args: readonly Tensor[]
  readonly result: number
}

export type Tensor = Input | Constant | Iota | Map | Reduce | Scan | Reindex | Gather | Update | Call

/** Where a node was first written, outermost call first. Kept beside the nodes, for equal nodes from two places are one node. */
const places = new WeakMap<Tensor, readonly Span[]>()
export const spansOf = (t: Tensor): readonly Span[] => places.get(t) ?? []
export function mark(t: Tensor, spans: readonly Span[]): void {
  if (!places.has(t) && spans.length > 0) places.set(t, [...spans])
}

export const axisOf = (t: Tensor, name: string): Axis | undefined => t.axes.find((a) => a.name === name)
export const axisNames = (t: Tensor): readonly string[] => t.axes.map((a) => a.name)

const axesKey = (axes: readonly Axis[]) => axes.map((a) => `${a.name}:${identity(a.extent)}`).join(",")
const listKey = (xs: readonly object[]) => xs.map(identity).join(" ")

function distinct(axes: readonly Axis[]): void {
  const names = new Set<string>()
  for (const { name } of axes) {
    if (names.has(name)) throw new TypeProblem(`axis '${name}' occurs twice`)
    names.add(name)
  }
}

export function input(
  name: string,
  role: InputRole,
  axes: readonly Axis[],
  dtype: DType,
  storage: Storage,
  capacity: readonly number[],
  more: Pick<Input, "packed" | "kept"> = {},
): Input {
  distinct(axes)
  const { packed, kept } = more
  const format = packed === undefined ? "" : ` ${packed.format.name} ${packed.stacked} ${packed.columns}`
  const keeps = kept === undefined ? "" : ` ${kept.axis} ${kept.rows} ${identity(kept.first)} ${kept.most}`
  const text = `input ${name} ${role} ${axesKey(axes)} ${dtype} ${storage} ${capacity.join(",")}${format}${keeps}`
  return intern(text, () => ({
    kind: "input",
    name,
    role,
    axes,
    dtype,
    storage,
    capacity,
    ...(packed === undefined ? {} : { packed }),
    ...(kept === undefined ? {} : { kept }),
  }))
}

/** The bits of numbers as a text: decimals take longer to make than all else of a table, and do not tell -0 from 0. */
function bitsText({ buffer }: Float64Array): string {
  const units = new Uint16Array(buffer)
  let text = ""
  for (let i = 0; i < units.length; i += 4096) text += String.fromCharCode(...units.subarray(i, i + 4096))
  return text
}

export function constant(axes: readonly Axis[], values: ArrayLike<number>, dtype: DType): Constant {
  distinct(axes)
  const size = axes.reduce((n, a) => {
    const extent = literalExtent(a.extent)
    if (extent === undefined) throw new TypeProblem(`a constant needs literal extents; '${a.name}' is symbolic`)
    return n * extent
  }, 1)
  if (values.length !== size) throw new TypeProblem(`a constant of ${size} elements got ${values.length} numbers`)
  const data = new Float64Array(size)
  for (let i = 0; i < size; i++) data[i] = roundTo(dtype, values[i]!)
  return intern(`constant ${axesKey(axes)} ${dtype} ${bitsText(data)}`, () => ({
    kind: "constant",
    axes,
    dtype,
    values: data,
  }))
}

export function iota(axis: Axis, start: Dim): Iota {
  return intern(`iota ${axesKey([axis])} ${identity(start)}`, () => ({
    kind: "iota",
    axes: [axis],
    dtype: "i32",
    start,
  }))
}

/** Unites axes by name; the same name must have the same extent. */
export function unite(tensors: readonly Tensor[]): readonly Axis[] {
  const found = new globalThis.Map<string, Axis>()
  for (const t of tensors)
    for (const a of t.axes) {
      const known = found.get(a.name)
      if (known !== undefined && known.extent !== a.extent) throw new ExtentProblem(a.name, known.extent, a.extent, t)
      if (known === undefined) found.set(a.name, a)
    }
  return [...found.values()]
}

/** Two tensors meet in one axis name with different extents. */
export class ExtentProblem extends TypeProblem {
  readonly axis: string
  readonly left: Dim
  readonly right: Dim
  /** The tensor that brought the second extent. */
  readonly second: Tensor
  constructor(axis: string, left: Dim, right: Dim, second: Tensor) {
    super(`axis '${axis}' has two extents`)
    this.axis = axis
    this.left = left
    this.right = right
    this.second = second
  }
}

export function map(body: Expression, args: readonly Tensor[]): Map {
  const axes = unite(args)
  return intern(`map ${identity(body)} ${listKey(args)}`, () => ({ kind: "map", axes, dtype: body.dtype, body, args }))
}

export function reduce(monoid: Monoid, axis: string, args: readonly Tensor[], component = 0, slot?: string): Reduce {
  const united = unite(args)
  if (!united.some((a) => a.name === axis)) throw new TypeProblem(`there is no axis '${axis}' to reduce`)
  const expected = monoid.kind === "argmax" || monoid.kind === "top" ? 1 : liftCount(monoid)
  if (args.length !== expected)
    throw new TypeProblem(`${monoidKey(monoid)} folds ${expected} values, not ${args.length}`)
  const types = monoidTypes(
    monoid,
    args.map((a) => a.dtype),
  )
  if (monoid.kind === "online" && args.some((a) => a.dtype !== "f32"))
    throw new TypeProblem(`${monoidKey(monoid)} folds f32, not ${args.map((a) => a.dtype).join(", ")}`)
  const dtype = types[component]
  if (dtype === undefined) throw new TypeProblem(`${monoidKey(monoid)} has no component ${component}`)
  const axes = united.filter((a) => a.name !== axis)
  if (monoid.kind === "top") {
    if (slot === undefined) throw new TypeProblem("top needs the name of its new axis")
    const extent = literalExtent(united.find((a) => a.name === axis)!.extent)
    if (extent !== undefined && monoid.k > extent)
      throw new TypeProblem(`top ${monoid.k} of an axis '${axis}' of ${extent}`)
    axes.push({ name: slot, extent: literal(monoid.k) })
    distinct(axes)
  }
  return intern(`reduce ${monoidKey(monoid)} ${axis} ${component} ${slot ?? ""} ${listKey(args)}`, () => ({
    kind: "reduce",
    axes,
    dtype,
    axis,
    monoid,
    args,
    component,
    slot,
  }))
}

export function scan(monoid: Monoid, axis: string, arg: Tensor, block?: number): Scan {
  if (componentCount(monoid) !== 1) throw new TypeProblem(`a scan of ${monoidKey(monoid)} is not supported`)
  if (axisOf(arg, axis) === undefined) throw new TypeProblem(`there is no axis '${axis}' to scan`)
  if (block !== undefined && !(Number.isInteger(block) && block > 0))
    throw new TypeProblem(`a prefix cannot begin again at each multiple of ${block}`)
  return intern(`scan ${monoidKey(monoid)} ${axis} ${block ?? ""} ${identity(arg)}`, () => ({
    kind: "scan",
    axes: arg.axes,
    dtype: arg.dtype,
    axis,
    monoid,
    arg,
    block,
  }))
}

export function reindex(
  arg: Tensor,
  axes: readonly Axis[],
  index: ReadonlyMap<string, Expression>,
  valid?: Expression,
  fill = 0,
): Tensor {
  distinct(axes)
  const names = new Set(axes.map((a) => a.name))
  for (const a of arg.axes) {
    const at = index.get(a.name)
    if (at === undefined) throw new TypeProblem(`no index for axis '${a.name}'`)
    quasiAffine(at)
    for (const v of freeVariables(at))
      if (!names.has(v)) throw new TypeProblem(`the index of '${a.name}' uses '${v}', which is no axis of the result`)
  }
  const unchanged =
    valid === undefined &&
    axes.length === arg.axes.length &&
    arg.axes.every((a, i) => axes[i]!.name === a.name && isIdentity(a, axes, index))
  if (unchanged) return arg
  const spelled = arg.axes.map((a) => identity(index.get(a.name)!)).join(" ")
  return intern(
    `reindex ${identity(arg)} ${axesKey(axes)} ${spelled} ${valid === undefined ? "" : identity(valid)} ${fill}`,
    () => ({ kind: "reindex", axes, dtype: arg.dtype, arg, index, valid, fill }),
  )
}

function isIdentity(a: Axis, axes: readonly Axis[], index: ReadonlyMap<string, Expression>): boolean {
  const at = index.get(a.name)!
  return at.kind === "variable" && at.name === a.name && axes.some((b) => b.name === a.name && b.extent === a.extent)
}

export function gather(arg: Tensor, axis: string, index: Tensor): Gather {
  const along = axisOf(arg, axis)
  if (along === undefined) throw new TypeProblem(`there is no axis '${axis}' to index`)
  if (index.dtype !== "i32") throw new TypeProblem(`an index is i32, not ${index.dtype}`)
  const rest = arg.axes.filter((a) => a.name !== axis)
  const axes = [...index.axes]
  for (const a of rest) {
    const known = axes.find((b) => b.name === a.name)
    if (known !== undefined && known.extent !== a.extent) throw new ExtentProblem(a.name, known.extent, a.extent, arg)
    if (known === undefined) axes.push(a)
  }
  return intern(`gather ${identity(arg)} ${axis} ${identity(index)}`, () => ({
    kind: "gather",
    axes,
    dtype: arg.dtype,
    arg,
    axis,
    index,
  }))
}

/** Writes `value` at `at` along `axis`; the result reaches from 0 to at + extent of value. Without an axis the value replaces the state. */
export function update(state: Input, axis: string | undefined, at: Dim, value: Tensor, extent?: Dim): Update {
  if (state.role === "weight") throw new TypeProblem(`'${state.name}' is a weight and cannot be written`)
  if (value.dtype !== state.dtype)
    throw new TypeProblem(`a ${value.dtype} value cannot be stored in '${state.name}', which is ${state.dtype}`)
  const missing = state.axes.find((a) => axisOf(value, a.name) === undefined)
  const extra = value.axes.find((a) => axisOf(state, a.name) === undefined)
  if (missing !== undefined) throw new TypeProblem(`the value for '${state.name}' has no axis '${missing.name}'`)
  if (extra !== undefined)
    throw new TypeProblem(`the value for '${state.name}' has an axis '${extra.name}' that the state has not`)
  for (const a of state.axes) {
    const other = axisOf(value, a.name)!
    if (a.name !== axis && other.extent !== a.extent) throw new ExtentProblem(a.name, a.extent, other.extent, value)
  }
  const lost = lostBy(state, axis, value)
  if (lost !== undefined) throw new TypeProblem(lost)
  const axes = state.axes.map((a) => (a.name === axis && extent !== undefined ? { name: a.name, extent } : a))
  return intern(`update ${identity(state)} ${axis ?? ""} ${identity(at)} ${identity(value)} ${axesKey(axes)}`, () => ({
    kind: "update",
    axes,
    dtype: state.dtype,
    state,
    axis,
    at,
    value,
  }))
}

export function unit(name: string, inputs: readonly Input[], results: readonly Tensor[]): Unit {
  return intern(`unit ${name} ${listKey(inputs)} ${listKey(results)}`, () => ({ name, inputs, results }))
}

export function call(of: Unit, args: readonly Tensor[], result: number): Call {
  of.inputs.forEach((x, i) => {
    const arg = args[i]!
    if (
      arg.dtype !== x.dtype ||
      arg.axes.length !== x.axes.length ||
      x.axes.some((a) => axisOf(arg, a.name)?.extent !== a.extent)
    )
      throw new TypeProblem(`argument ${i} of a call of '${of.name}' does not fit '${x.name}'`)
  })
  const { axes, dtype } = of.results[result]!
  return intern(`call ${identity(of)} ${listKey(args)} ${result}`, () => ({
    kind: "call",
    axes,
    dtype,
    unit: of,
    args,
    result,
  }))
}
