/**
 * A random tensor program while it grows: the pool of tensors made so far, each with a bound on its values.
 *
 *   pool: [x: |x| ≤ 4 over [a, s], w: |w| ≤ 4 over [a, b]]   →   sum_a(x · w): ≤ 16 · extent(a), over [s, b]
 *
 * The bounds keep the exact regime exact: whatever is multiplied or summed stays below 2^24, by clamping operands where it would not. A step
 * that a constructor refuses (two extents of one axis name meet) is no step. Sizes are kept small enough for interpreters.
 */

import { extentAt, literalExtent, maximum } from "../../compiler/ir/dim.js"
import { apply, literal, symbol, variable } from "../../compiler/ir/expression.js"
import type { Storage } from "../../compiler/ir/loop.js"
import { max, min } from "../../compiler/ir/monoid.js"
import type { Expression, SizeSymbol } from "../../compiler/ir/nodes.js"
import type { DType } from "../../compiler/ir/operations.js"
import type { Kept } from "../../compiler/ir/tensor/kept.js"
import { sources } from "../../compiler/ir/tensor/walk.js"
import * as ir from "../../compiler/ir/tensor.js"
import type { Choices } from "./choices.js"

export type Regime = "exact" | "analytic"

/** A tensor and a bound on the absolute values of its elements. */
export interface Value {
  readonly tensor: ir.Tensor
  readonly limit: number
}

/** Elements of a tensor, and points of a reduction, at most. */
const largestTensor = 700
const largestDomain = 5000

/** Terms that a sum of the analytic regime has at most. */
export const longestSum = 24

/** Whole numbers up to here are exact in f32, with room for one more addition. */
export const exactLimit = 2 ** 23
/** What values are clamped to where they grow too large: exact in bf16. */
export const clampLimit = 8

export interface SymbolValues {
  readonly seq: { readonly max: number; readonly hint: number }
  readonly past: { readonly max: number; readonly hint: number }
}

/** What a builder starts from. */
export interface Setting {
  readonly regime: Regime
  readonly packed: boolean
  readonly extents: readonly number[]
  readonly names: readonly string[]
  readonly symbols: SymbolValues
}

export class Growing {
  readonly regime: Regime
  readonly packed: boolean
  readonly pool: Value[] = []
  readonly inputs: ir.Input[] = []
  readonly updates: { readonly state: ir.Input; readonly tensor: ir.Tensor }[] = []
  /** Extents that are appended to states: all must fit behind `past`. */
  readonly appended: Expression[] = []
  /** Extents of axes that data index: none may be empty in a run, for then there is nothing to read. */
  readonly gathered: Expression[] = []
  readonly seq: SizeSymbol
  readonly past: SizeSymbol
  readonly extents = new Map<string, Expression>()
  readonly prefix: string
  #fresh = 0

  constructor({ regime, packed, extents, names, symbols }: Setting, prefix = "x") {
    this.regime = regime
    this.packed = packed && regime === "exact"
    this.prefix = prefix
    this.seq = symbol("seq", symbols.seq.max, symbols.seq.hint)
    this.past = symbol("past", symbols.past.max, symbols.past.hint)
    names.forEach((name, i) => {
      this.extents.set(name, i < extents.length ? literal(extents[i]!) : this.seq)
    })
  }

  /** The axis of a known name. */
  axis(name: string): ir.Axis {
    return { name, extent: this.extents.get(name)! }
  }

  /** An axis of a new name. */
  fresh(extent: Expression, stem = "n"): ir.Axis {
    const name = `${stem}${this.prefix}${this.#fresh++}`
    this.extents.set(name, extent)
    return { name, extent }
  }

  input(
    axes: readonly ir.Axis[],
    storage: Storage,
    role: ir.InputRole,
    capacity?: readonly number[],
    kept?: Kept,
  ): ir.Input {
    const dtype: DType = storage === "bf16" || storage === "f16" ? "f32" : storage
    const name = `${role}s.${this.prefix}${this.inputs.length}`
    const made = ir.input(
      name,
      role,
      axes,
      dtype,
      storage,
      capacity ?? axes.map((a) => maximum(a.extent)),
      kept && { kept },
    )
    this.inputs.push(made)
    return made
  }

  push(tensor: ir.Tensor, limit: number): Value {
    const known = this.pool.find((v) => v.tensor === tensor)
    const value = { tensor, limit }
    if (known === undefined) this.pool.push(value)
    return known ?? value
  }

  /** One of the tensors that pass, the latest more often; undefined when none does. */
  pick(choose: Choices, passes: (t: ir.Tensor) => boolean = () => true): Value | undefined {
    const found = this.pool.filter((v) => passes(v.tensor))
    const at = choose.below(1000) / 1000
    return found[found.length - 1 - Math.floor(at * at * found.length)]
  }

  floats(choose: Choices): Value | undefined {
    return this.pick(choose, (t) => t.dtype === "f32")
  }

  /** The value within ±limit. */
  clamped(value: Value, limit = clampLimit): Value {
    const { dtype } = value.tensor
    if (value.limit <= limit || dtype === "bool") return value
    const x = variable("$0", dtype)
    const low = dtype === "u32" ? x : apply("max", x, literal(-limit, dtype))
    return { tensor: ir.map(apply("min", low, literal(limit, dtype)), [value.tensor]), limit }
  }
}

export const elements = (t: ir.Tensor): number => t.axes.reduce((n, a) => n * Math.max(1, maximum(a.extent)), 1)

/** Whether a tensor, and what it folds, is small enough. */
export function affordable(t: ir.Tensor): boolean {
  if (t.axes.length > 5 || elements(t) > largestTensor) return false
  if (t.kind !== "reduce" && t.kind !== "scan") return true
  return elements(t) * folded(t) <= largestDomain
}

export function folded(t: ir.Reduce | ir.Scan): number {
  const args = t.kind === "reduce" ? t.args : [t.arg]
  return maximum(args.flatMap((a) => a.axes).find((a) => a.name === t.axis)!.extent)
}

/** Terms of the longest chain of additions below: each rounds, and the bound of the analytic regime pays for about as many. */
export function terms(t: ir.Tensor): number {
  const below = Math.max(1, ...sources(t).map(terms), ...(t.kind === "call" ? t.unit.results.map(terms) : []))
  return t.kind === "scan" || (t.kind === "reduce" && t.monoid !== max && t.monoid !== min) ? below * folded(t) : below
}

/** Whether the axis may have no elements. */
export const mayBeEmpty = (a: ir.Axis): boolean => (literalExtent(a.extent) ?? 0) === 0

/** Extents under a binding of the symbols. */
export const shapeAt = (t: ir.Tensor, symbols: ReadonlyMap<string, number>) =>
  t.axes.map((a) => ({ name: a.name, extent: extentAt(a.extent, symbols) }))
