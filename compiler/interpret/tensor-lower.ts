/**
 * One step of the tensor interpreter as a compiled nest of loops.
 *
 *   %3 = reduce sum over embed of map $0 * $1 of x, w
 *   →  for seq, for out: %3[seq, out] = sum_{embed'}(x[seq, embed'] * w[embed', out])
 *
 * `elementOf` says what the element of a tensor at given coordinates is: a load when the tensor is kept, else the node's meaning spelled over its
 * sources. Everything else (hoisting, strides, laziness of selects) is the emitter's. Arrays are row-major in the order of their node's axes.
 */
import { fault } from "../../runtime/errors.js"
import {
  add,
  and,
  apply,
  component as componentOf,
  identity,
  literal,
  load,
  reduce,
  scan,
  sub,
  substitute,
  variable,
} from "../ir/expression.js"
import type { Expression, Reduce as Fold } from "../ir/nodes.js"
import { prefixAt } from "../ir/tensor/prefix.js"
import { type Axis, axisOf, type Reduce, type Tensor, type Update, unite } from "../ir/tensor.js"
import { type ArrayAccess, createLeaves, emitOffset, nest } from "./kernel-emit.js"
import { inPasses } from "./online.js"
import { Emitter } from "./scalar.js"
import type { Arithmetic } from "./scalar-operations.js"

type Coordinates = ReadonlyMap<string, Expression>

export interface CompiledNest {
  /** The kept tensors that it reads and those that it writes, in the order of `run`'s arrays. */
  readonly reads: readonly Tensor[]
  readonly writes: readonly Tensor[]
  readonly symbols: readonly string[]
  readonly run: (arrays: readonly Float64Array[], bounds: readonly Float64Array[], symbols: readonly number[]) => void
}

export function compileNest(
  tensors: readonly Tensor[],
  kept: ReadonlySet<Tensor>,
  names: ReadonlyMap<Tensor, string>,
  arithmetic: Arithmetic,
): CompiledNest {
  const lowering: Lowering = { kept, byName: new Map(), memo: new Map() }
  const values = tensors.map((t) => spell(lowering, t, new Map(t.axes.map((a) => [a.name, variable(a.name)]))))
  const arrays: Tensor[] = [...tensors]
  const access = (t: Tensor): ArrayAccess => {
    const known = arrays.indexOf(t)
    const at = known >= 0 ? known : arrays.push(t) - 1
    const bounds = arithmetic === "absolute" && t.dtype === "f32" ? `c${at}` : undefined
    return { values: `a${at}`, bounds, shape: t.axes.map((a) => a.extent), label: names.get(t)!, fault: "range" }
  }
  const emitter = new Emitter(
    arithmetic,
    createLeaves((x) => access(lowering.byName.get(x.kind === "load" ? x.buffer : x.local)!)),
  )
  const body = emitter.inside(false, new Map(), () => {
    nest(emitter, loopAxes(tensors[0]!), () => {
      tensors.forEach((t, i) => {
        const { value, bound } = emitter.emit(values[i]!)
        const array = access(t)
        const offset = emitOffset(
          emitter,
          array,
          t.axes.map((a) => variable(a.name)),
        )
        emitter.push(`${array.values}[${offset}] = ${value};`)
        if (array.bounds !== undefined) emitter.push(`${array.bounds}[${offset}] = ${bound};`)
      })
    })
  })
  emitter.push(body)
  const prelude = arrays.map((_, i) => `const a${i} = arrays[${i}], c${i} = bounds[${i}];`)
  return {
    reads: arrays.slice(tensors.length),
    writes: tensors,
    run: emitter.function(["arrays", "bounds", "symbols"], prelude),
    symbols: emitter.symbols,
  }
}

/** A scanned axis and the slots of a `top` go innermost: their state lives as long as the other axes stand still. */
function loopAxes(t: Tensor): readonly Axis[] {
  const inner = t.kind === "scan" ? t.axis : t.kind === "reduce" ? t.slot : undefined
  return [...t.axes.filter((a) => a.name !== inner), ...t.axes.filter((a) => a.name === inner)]
}

/** The variable that counts a folded axis; a slot may have the axis' own name. */
const folded = (axis: string) => `${axis}'`

interface Lowering {
  readonly kept: ReadonlySet<Tensor>
  /** The tensors that are loaded. */
  readonly byName: Map<string, Tensor>
  readonly memo: Map<string, Expression>
}

function elementOf(lowering: Lowering, t: Tensor, at: Coordinates): Expression {
  const point = t.axes.map((a) => at.get(a.name)!)
  const key = `${identity(t)} ${point.map(identity).join(" ")}`
  const known = lowering.memo.get(key)
  if (known !== undefined) return known
  const made =
    lowering.kept.has(t) || t.kind === "input" || t.kind === "constant"
      ? read(lowering, t, point)
      : spell(lowering, t, at)
  lowering.memo.set(key, made)
  return made
}

function read(lowering: Lowering, t: Tensor, point: readonly Expression[]) {
  const name = `${identity(t)}`
  lowering.byName.set(name, t)
  const value = load(name, point, t.dtype)
  const kept = t.kind === "input" ? t.kept : undefined
  if (kept === undefined) return value
  const at = point[t.axes.findIndex((a) => a.name === kept.axis)]!
  return apply("select", apply("ge", at, kept.first), value, literal(0, t.dtype))
}

/** The meaning of a node at a point of its axes. */
function spell(lowering: Lowering, t: Tensor, at: Coordinates): Expression {
  switch (t.kind) {
    case "iota":
      return add(at.get(t.axes[0]!.name)!, t.start)
    case "map":
      return substitute(t.body, new Map(t.args.map((x, i) => [`$${i}`, elementOf(lowering, x, at)])))
    case "reindex": {
      const old = new Map(t.arg.axes.map((a) => [a.name, substitute(t.index.get(a.name)!, at)]))
      const value = elementOf(lowering, t.arg, old)
      return t.valid === undefined ? value : apply("select", substitute(t.valid, at), value, literal(t.fill, t.dtype))
    }
    case "gather": {
      const last = sub(axisOf(t.arg, t.axis)!.extent, literal(1))
      const index = apply("max", literal(0), apply("min", elementOf(lowering, t.index, at), last))
      return elementOf(lowering, t.arg, new Map([...at, [t.axis, index]]))
    }
    case "update":
      return updated(lowering, t, at)
    case "reduce":
      return fold(lowering, t, at)
    case "scan": {
      const axis = folded(t.axis)
      const { end, place } = prefixAt(at.get(t.axis)!, variable(axis), t.block)
      return scan(axis, end, t.monoid, [elementOf(lowering, t.arg, new Map([...at, [t.axis, place]]))])
    }
    default:
      throw fault(`${t.kind} has no element of its own`)
  }
}

function updated(lowering: Lowering, t: Update, at: Coordinates): Expression {
  if (t.axis === undefined) return elementOf(lowering, t.value, at)
  const position = at.get(t.axis)!
  const inside = sub(position, t.at)
  const extent = axisOf(t.value, t.axis)!.extent
  const written = and(apply("ge", inside, literal(0)), apply("lt", inside, extent))
  return apply(
    "select",
    written,
    elementOf(lowering, t.value, new Map([...at, [t.axis, inside]])),
    elementOf(lowering, t.state, at),
  )
}

function fold(lowering: Lowering, t: Reduce, at: Coordinates): Expression {
  const axis = variable(folded(t.axis))
  const inner = new Map([...at, [t.axis, axis]])
  const lift = t.args.map((x) => elementOf(lowering, x, inner))
  const ranked = t.monoid.kind === "argmax" || t.monoid.kind === "top"
  const extent = unite(t.args).find((a) => a.name === t.axis)!.extent
  const whole = reduce(axis.name, extent, t.monoid, ranked ? [...lift, axis] : lift) as Fold
  return inPasses(componentOf(whole, t.component, t.slot === undefined ? undefined : at.get(t.slot)!))
}
