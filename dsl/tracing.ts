/**
 * The language's side of the compiler: what a running trace can do. The language checks nothing but types; the compiler that implements
 * this interface checks extents, dtypes and names, and reports with the places on `spans`.
 *
 * A `Traced` is opaque here: the compiler's own node. Axes are named; their order in memory is the compiler's business.
 */

declare const traced: unique symbol
/** A place in a source file, counted from 1. */
export interface SourceSpan {
  readonly file: string
  readonly line: number
  readonly column: number
  readonly length: number
  readonly text: string
  /** In a file of the language itself, whose own lines are not where a mistake is told. */
  readonly library?: true
}

/** A node of the compiler. */
export interface Traced {
  readonly [traced]: true
}

declare const extent: unique symbol
/** An extent that is known per step only (the past length, the number of new tokens), or an expression of such. */
export interface SymbolicExtent {
  readonly [extent]: true
}
export type Extent = number | SymbolicExtent

export type ValueType = "f32" | "i32" | "u32" | "bool"
export type FoldKind = "sum" | "max" | "min"
export interface AxisExtent {
  readonly axis: string
  readonly extent: Extent
}

export interface Tracing {
  /** Places of the calls that are running, outermost first. */
  readonly spans: SourceSpan[]
  /** Numbers that TypeScript computed, row-major in the order of `axes`, rounded once to `dtype`. No axes: one number. */
  constant(axes: readonly AxisExtent[], values: ArrayLike<number>, dtype: ValueType): Traced
  /** start, start + 1, … along a new axis; i32. */
  iota(axis: string, extent: Extent, start: Extent): Traced
  /**
   * Applies a scalar function; axes are united. Unless `outer`, one argument must have all of them. Numbers of the function that meet no
   * tensor are of the type `claimed`; the result may still be of another, which the language tells.
   */
  map(fn: unknown, args: readonly Traced[], outer: boolean, claimed: ValueType): Traced
  fold(kind: FoldKind, x: Traced, axis: string): Traced
  /** Inclusive prefix along `axis`. */
  scan(kind: FoldKind, x: Traced, axis: string): Traced
  /** The k largest along `axis`, the lowest index first on ties, in a new axis `slot`; without `slot` k is 1 and no axis is added. */
  top(x: Traced, axis: string, k: number, slot: string | undefined): { readonly value: Traced; readonly index: Traced }
  rename(x: Traced, from: string, to: string): Traced
  /** One axis into several, the first the slowest; the extents' product is the old one. */
  split(x: Traced, axis: string, parts: readonly AxisExtent[]): Traced
  /** Several axes into one, the first the slowest. */
  merge(x: Traced, axes: readonly string[], to: string): Traced
  /** x[axis = start … start + extent − 1]. */
  slice(x: Traced, axis: string, start: Extent, extent: Extent): Traced
  /** x[axis = index], the axis dropped. */
  pick(x: Traced, axis: string, index: Extent): Traced
  /** result[j] = x[(j + by) mod extent]. */
  roll(x: Traced, axis: string, by: number): Traced
  /** result[j] = x[extent − 1 − j]. */
  reverse(x: Traced, axis: string): Traced
  /** result[j] = x[j − before] where that exists, else `value`. */
  pad(x: Traced, axis: string, before: number, after: number, value: number): Traced
  /** result[j, t] = x[j + t] along `axis` and a new axis `tap` of `count` elements. */
  windows(x: Traced, axis: string, count: number, tap: string): Traced
  /** x[axis = index[…]]: the axis is replaced by the axes of `index` (i32); an index out of range is clamped. */
  gather(x: Traced, axis: string, index: Traced): Traced
  /** A state grown along `axis` by `x` (an axis of the same name): the state's axis has the past length as its extent. */
  append(state: Traced, axis: string, x: Traced): Traced
  /** The whole new value of a state. */
  assign(state: Traced, x: Traced): Traced
  /** Runs `fn` once per distinct structure; each call is a repeated unit that is compiled once. `args` and the result are trees of tensors. */
  call<A extends readonly unknown[], R>(fn: (...args: A) => R, args: A): R
  extent(x: Traced, axis: string): Extent
  axes(x: Traced): readonly string[]
  dtype(x: Traced): ValueType
  /** The number that the target has under `name`, `otherwise` where it has none. */
  choice(name: string, otherwise: number): number
  /** Sums, differences and products of extents. */
  plus(a: Extent, b: Extent): Extent
  minus(a: Extent, b: Extent): Extent
  times(a: Extent, b: Extent): Extent
  /** Reports a mistake of the author at the innermost place. */
  fail(code: `${string}/${string}`, message: string, hint: string): never
}

/** A tensor of the checkpoint: each stored dimension is made of named axes, the first the slowest. */
export interface WeightSpec {
  readonly kind: "weight"
  /** One name, or one per index of `stack`. */
  readonly tensors: readonly string[]
  /** The axis along which several tensors are stacked, when there are several. */
  readonly stack: AxisExtent | undefined
  readonly dimensions: readonly (readonly { readonly axis: string; readonly extent: number }[])[]
}
/** Memory that stays between steps, zero at first. An axis with `grows` has the past length as its extent and `extent` as its maximum. */
export interface StateSpec {
  readonly kind: "state"
  readonly axes: readonly {
    readonly axis: string
    readonly extent: number
    readonly grows: boolean
    /** Of the elements from before a step the last ones that it can read; left out, all. */
    readonly keeps?: number
  }[]
  readonly dtype: ValueType
}
