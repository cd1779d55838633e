/**
 * Lowering: the value of a tensor at a point, as an expression of the kernel language.
 *
 *   %3 = reduce sum over embed of map($0 * $1)(x, w)   at {seq: s, out: o}
 *   →    sum_{embed.7 < 256}(x[s, embed.7] · w[o, embed.7])
 *
 * Everything is inlined until a tensor that has memory (a buffer or a local). Coordinates are substituted, so slices, renames, rolls and
 * gathers cost nothing and only what is asked for is computed.
 */

import { fault } from "../../runtime/errors.js"
import type { Dim } from "../ir/dim.js"
import {
  add,
  apply,
  component,
  identity,
  literal,
  load,
  localRead,
  reduce,
  rewrite,
  scan,
  sub,
  substitute,
  variable,
} from "../ir/expression.js"
import type { Expression } from "../ir/nodes.js"
import type { DType } from "../ir/operations.js"
import { nodesOf } from "../ir/query.js"
import { ringOf } from "../ir/tensor/kept.js"
import { prefixAt } from "../ir/tensor/prefix.js"
import type { Input, Tensor, Reduce as TensorReduce } from "../ir/tensor.js"

export type Coordinates = ReadonlyMap<string, Expression>

/** Where a tensor's elements already are. */
export interface Memory {
  readonly kind: "buffer" | "local"
  readonly name: string
  /** The order of the axes in memory. */
  readonly axes: readonly string[]
  /** An axis of which only the last elements are there. */
  readonly kept?: Around | undefined
}

/** Elements of an axis before `first` are 0; the others go round in memory for `ring` of them, where there is no room for all. */
export interface Around {
  readonly axis: string
  readonly first: Dim
  readonly ring: number | undefined
}

/** How much is there of the state that a tensor lies in. */
export function aroundOf(home: Input | undefined): Around | undefined {
  const kept = home?.kept
  return kept && { axis: kept.axis, first: kept.first, ring: ringOf(home) }
}

/** Where an element lies along an axis. */
export const placeAround = (at: Expression, ring: number | undefined): Expression =>
  ring === undefined ? at : apply("floormod", at, literal(ring))

export interface Lowering {
  /** The value of `t` at `at`; `root` is computed even when it has memory itself. */
  value(t: Tensor, at: Coordinates, root?: boolean): Expression
}

/** `memory` says where a tensor lives; `see` is told every tensor that is computed in place, with its coordinates. */
export function createLowering(
  memory: (t: Tensor) => Memory | undefined,
  see?: (t: Tensor, at: Coordinates) => void,
): Lowering {
  const memo = new Map<string, Expression>()

  const value = (t: Tensor, at: Coordinates, root = false): Expression => {
    const home = root ? undefined : memory(t)
    if (home !== undefined) return read(home, t.dtype, at)
    const key = `${root ? "root " : ""}${identity(t)} ${t.axes.map((a) => identity(coordinate(at, a.name))).join(" ")}`
    const known = memo.get(key)
    if (known !== undefined) return known
    see?.(t, at)
    const made = compute(t, at, value)
    memo.set(key, made)
    return made
  }

  return { value }
}

function read({ kind, name, axes, kept }: Memory, dtype: DType, at: Coordinates): Expression {
  const index = axes.map((a) => {
    const place = coordinate(at, a)
    return a === kept?.axis ? placeAround(place, kept.ring) : place
  })
  const value = kind === "buffer" ? load(name, index, dtype) : localRead(name, index, dtype)
  if (kept === undefined) return value
  return apply("select", apply("ge", coordinate(at, kept.axis), kept.first), value, literal(0, dtype))
}

function compute(t: Tensor, at: Coordinates, value: Lowering["value"]): Expression {
  switch (t.kind) {
    case "input":
    case "call":
    case "update":
      throw fault(`'${t.kind}' has no memory`)
    case "constant":
      if (t.axes.length > 0) throw fault("a constant with axes has no memory")
      return literal(t.values[0]!, t.dtype)
    case "iota":
      return add(coordinate(at, t.axes[0]!.name), t.start)
    case "map": {
      const args = t.args.map((a) => value(a, at))
      return rewrite(t.body, (x) => (x.kind === "variable" ? args[Number(x.name.slice(1))] : undefined))
    }
    case "reduce":
      return lowerReduce(t, at, value)
    case "scan": {
      const bound = variable(boundName(t.axis, [t.arg], at))
      const { end, place } = prefixAt(coordinate(at, t.axis), bound, t.block)
      return scan(bound.name, end, t.monoid, [value(t.arg, new Map(at).set(t.axis, place))])
    }
    case "reindex": {
      const valid = t.valid === undefined ? undefined : substitute(t.valid, at)
      const inner = new Map<string, Expression>()
      for (const [axis, index] of t.index) {
        const moved = substitute(index, at)
        inner.set(axis, valid === undefined ? moved : apply("select", valid, moved, literal(0)))
      }
      const found = value(t.arg, inner)
      return valid === undefined ? found : apply("select", valid, found, literal(t.fill, t.dtype))
    }
    case "gather": {
      const extent = t.arg.axes.find((a) => a.name === t.axis)!.extent
      const index = clamp(value(t.index, at), extent)
      return value(t.arg, new Map(at).set(t.axis, index))
    }
    default:
      return t satisfies never
  }
}

function lowerReduce(t: TensorReduce, at: Coordinates, value: Lowering["value"]): Expression {
  const bound = variable(boundName(t.axis, t.args, at))
  const inner = new Map(at).set(t.axis, bound)
  const extent = t.args.flatMap((a) => a.axes).find((a) => a.name === t.axis)!.extent
  const lift = t.args.map((a) => value(a, inner))
  if (t.monoid.kind === "argmax" || t.monoid.kind === "top") lift.push(bound)
  const folded = reduce(bound.name, extent, t.monoid, lift)
  if (folded.kind !== "reduce") return folded
  return component(folded, t.component, t.slot === undefined ? undefined : coordinate(at, t.slot))
}

/**
 * The name of a bound axis: the same wherever the same tensors are folded along the same axis, but for a fold whose coordinates hold such a
 * fold (x taken where x is largest): an axis is never bound inside of itself.
 */
function boundName(axis: string, args: readonly Tensor[], at: Coordinates): string {
  const stem = `${axis}.${args.map(identity).join(".")}`
  const taken = new Set(nodesOf([...at.values()], "reduce", "scan").map((x) => x.axis))
  let name = stem
  for (let n = 1; taken.has(name); n++) name = `${stem}.${n}`
  return name
}

function coordinate(at: Coordinates, axis: string): Expression {
  const found = at.get(axis)
  if (found === undefined) throw fault(`no coordinate for axis '${axis}'`)
  return found
}

/** Indices that come from data stay within their axis. */
function clamp(index: Expression, extent: Dim): Expression {
  return apply("max", literal(0), apply("min", index, sub(extent, literal(1))))
}
