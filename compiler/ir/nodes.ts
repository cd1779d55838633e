/**
 * The nodes of expressions: the grammar that the three languages share.
 *
 *   all          literal  variable  symbol  operation
 *   kernel       load  localRead  reduce  scan  component
 *   loop         fetch  splat  ramp  lane  vector
 *
 * Plain data. Only the constructors of `expression.ts` make them; the verifiers say which may occur where.
 */
import type { Monoid } from "./monoid.js"
import type { DType, Operation } from "./operations.js"

export interface Literal {
  readonly kind: "literal"
  readonly dtype: DType
  readonly width: 1
  readonly value: number
}
/** A name bound around the expression: an axis, a parameter `$0` of a scalar function, a loop or let variable. */
export interface Variable {
  readonly kind: "variable"
  readonly dtype: DType
  readonly width: number
  readonly name: string
}
/** A size that is known per step only. `max` bounds it (inclusive), `hint` is what schedules assume. */
export interface SizeSymbol {
  readonly kind: "symbol"
  readonly dtype: "i32"
  readonly width: 1
  readonly name: string
  readonly max: number
  readonly hint: number
}
export interface OperationNode {
  readonly kind: "operation"
  readonly dtype: DType
  readonly width: number
  readonly operation: Operation
  readonly args: readonly Expression[]
}

// Leaves of the kernel language.

/** An element of a buffer; one index per axis of the buffer, in the order of its layout. */
export interface Load {
  readonly kind: "load"
  readonly dtype: DType
  readonly width: 1
  readonly buffer: string
  readonly index: readonly Expression[]
}
/** An element of a `Local` of the same kernel. */
export interface LocalRead {
  readonly kind: "localRead"
  readonly dtype: DType
  readonly width: 1
  readonly local: string
  readonly index: readonly Expression[]
}
/**
 * Folds `lift` over 0 ≤ axis < extent with `monoid`; `axis` is bound in `lift` and unique in the program. Its value is the first component
 * of the monoid; `Component` selects others. An extent of 0 gives the identity.
 */
export interface Reduce {
  readonly kind: "reduce"
  readonly dtype: DType
  readonly width: 1
  readonly axis: string
  readonly extent: Expression
  readonly monoid: Monoid
  readonly lift: readonly Expression[]
}
/** Folds `lift` over 0 ≤ axis ≤ at: an inclusive prefix. */
export interface Scan {
  readonly kind: "scan"
  readonly dtype: DType
  readonly width: 1
  readonly axis: string
  readonly at: Expression
  readonly monoid: Monoid
  readonly lift: readonly Expression[]
}
/** One component of a tuple-valued reduction; `slot` is the rank for `top`. */
export interface Component {
  readonly kind: "component"
  readonly dtype: DType
  readonly width: 1
  readonly of: Reduce | Scan
  readonly index: number
  readonly slot: Expression | undefined
}

// Leaves of the loop language.

/** `width` consecutive elements of a buffer or an allocation from the flat offset of the first. */
export interface Fetch {
  readonly kind: "fetch"
  readonly dtype: DType
  readonly width: number
  readonly array: string
  readonly offset: Expression
}
/** The same scalar in all lanes. */
export interface Splat {
  readonly kind: "splat"
  readonly dtype: DType
  readonly width: number
  readonly of: Expression
}
/** of, of + 1, … of + width − 1. */
export interface Ramp {
  readonly kind: "ramp"
  readonly dtype: "i32"
  readonly width: number
  readonly of: Expression
}
/** One lane of a vector. */
export interface Lane {
  readonly kind: "lane"
  readonly dtype: DType
  readonly width: 1
  readonly of: Expression
  readonly lane: number
}
/** A vector from scalars. */
export interface Vector {
  readonly kind: "vector"
  readonly dtype: DType
  readonly width: number
  readonly args: readonly Expression[]
}

export type Expression =
  | Literal
  | Variable
  | SizeSymbol
  | OperationNode
  | Load
  | LocalRead
  | Reduce
  | Scan
  | Component
  | Fetch
  | Splat
  | Ramp
  | Lane
  | Vector
