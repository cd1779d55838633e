/**
 * Index maps: the same values under other axes. None of them moves data; each is one quasi-affine map of indices.
 *
 *     rename(k, "seq", "key")                        seq kv dim   → key kv dim
 *     split(x, "out", { kv: 2, rep: 4, dim: 64 })    seq out      → seq kv rep dim      (kv the slowest)
 *     merge(x, ["kv", "rep"], "head")                seq kv rep   → seq head
 *     roll(x, "dim", 32)                             result[j] = x[(j + 32) mod extent]
 *     windows(x, "row", 3, "tap")                    result[j, t] = x[j + t]
 *
 * There is no transpose, reshape or expand: the order of axes in memory is the scheduler's business.
 */
import { tracing } from "./attach.js"
import type { Fresh, Index, Tensor } from "./tensor.js"
import type { Extent, ValueType } from "./tracing.js"

/**
 * Gives the axis `from` the name `to`, which must be new.
 *
 *     x: … from[n] → … to[n]
 *
 * @throws `trace/axis` when there is no axis `from`, or `to` is there already
 */
export function rename<X extends string, D extends ValueType, const F extends X, const T extends string>(
  x: Tensor<X, D>,
  from: F,
  to: Fresh<T, X>,
): Tensor<Exclude<X, F> | T, D> {
  return tracing().rename(x, from, to) as Tensor<Exclude<X, F> | T, D>
}

/**
 * One axis into several, the first the slowest.
 *
 *     x: … axis[p · q · …] → … first[p] second[q] …
 *
 * @throws `trace/axis` when there is no such axis, or a new one is there already
 * @throws `trace/extent` when the product of the extents is not that of `axis`
 */
export function split<
  X extends string,
  D extends ValueType,
  const K extends X,
  const P extends Readonly<Record<string, Extent>>,
>(
  x: Tensor<X, D>,
  axis: K,
  parts: { readonly [N in keyof P]: N extends Exclude<X, K> ? `axis '${N}' exists already` : P[N] },
): Tensor<Exclude<X, K> | (keyof P & string), D> {
  const extents = Object.entries((parts as P | null) ?? {}).map(([name, extent]) => ({ axis: name, extent }))
  return tracing().split(x, axis, extents) as Tensor<Exclude<X, K> | (keyof P & string), D>
}

/**
 * Several axes into one, the first the slowest.
 *
 *     x: … first[p] second[q] … → … to[p · q · …]
 *
 * @throws `trace/axis` when there is no such axis, one is named twice, or `to` is there already
 * @throws `trace/argument` when `from` is no list
 */
export function merge<X extends string, D extends ValueType, const K extends X, const T extends string>(
  x: Tensor<X, D>,
  from: readonly K[],
  to: Fresh<T, Exclude<X, NoInfer<K>>>,
): Tensor<Exclude<X, K> | T, D> {
  return tracing().merge(x, from, to) as Tensor<Exclude<X, K> | T, D>
}

/**
 * x[axis = start … start + count − 1].
 *
 *     x: … axis[n] → … axis[count]
 *
 * @throws `trace/axis` when there is no such axis
 * @throws `trace/extent` when a start or count is no whole number from 0, or leaves the axis; where a run decides, that run ends in `program/size`
 */
export function slice<X extends string, D extends ValueType>(
  x: Tensor<X, D>,
  axis: NoInfer<X>,
  start: Extent,
  count: Extent,
): Tensor<X, D> {
  return tracing().slice(x, axis, start, count) as Tensor<X, D>
}

/**
 * x[axis = index]; the axis is dropped.
 *
 *     x: … axis[n] → …
 *
 * @throws `trace/axis` when there is no such axis
 * @throws `trace/extent` when the index is no whole number within the axis; where a run decides, that run ends in `program/size`
 */
export function pick<X extends string, D extends ValueType, const K extends X>(
  x: Tensor<X, D>,
  axis: K,
  index: Extent,
): Tensor<Exclude<X, K>, D> {
  return tracing().pick(x, axis, index) as Tensor<Exclude<X, K>, D>
}

/**
 * result[j] = x[(j + by) mod extent].
 *
 *     x: … axis[n] → … axis[n]
 *
 * @throws `trace/axis` when there is no such axis
 * @throws `trace/extent` when `by` is no whole number, or the extent is open
 */
export function roll<X extends string, D extends ValueType>(
  x: Tensor<X, D>,
  axis: NoInfer<X>,
  by: number,
): Tensor<X, D> {
  return tracing().roll(x, axis, by) as Tensor<X, D>
}

/**
 * result[j] = x[extent − 1 − j].
 *
 *     x: … axis[n] → … axis[n]
 *
 * @throws `trace/axis` when there is no such axis
 */
export function reverse<X extends string, D extends ValueType>(x: Tensor<X, D>, axis: NoInfer<X>): Tensor<X, D> {
  return tracing().reverse(x, axis) as Tensor<X, D>
}

/**
 * `before` and `after` more elements of `value` at the two ends of `axis`.
 *
 *     x: … axis[n] → … axis[before + n + after]
 *
 * @throws `trace/axis` when there is no such axis
 * @throws `trace/extent` when `before` or `after` is no whole number from 0
 * @throws `trace/number` when the tensor's value type does not hold `value`
 */
export function pad<X extends string, D extends ValueType>(
  x: Tensor<X, D>,
  axis: NoInfer<X>,
  before: number,
  after: number,
  value = 0,
): Tensor<X, D> {
  return tracing().pad(x, axis, before, after, value) as Tensor<X, D>
}

/**
 * result[j, t] = x[j + t]: `count` neighbours along a new axis `tap`, so that a convolution is a `dot`. `axis` has count − 1 elements less.
 *
 *     dot(windows(pad(signal, "time", 1, 1), "time", 3, "tap"), kernel, "tap")
 *
 *     x: … axis[n] → … axis[n − count + 1] tap[count]
 *
 * @throws `trace/axis` when there is no such axis, or `tap` is there already
 * @throws `trace/extent` when `count` is no whole number from 1 to the axis' extent; where a run decides, that run ends in `program/size`
 */
export function windows<X extends string, D extends ValueType, const T extends string>(
  x: Tensor<X, D>,
  axis: NoInfer<X>,
  count: number,
  tap: Fresh<T, X>,
): Tensor<X | T, D> {
  return tracing().windows(x, axis, count, tap) as Tensor<X | T, D>
}

/**
 * Declares that the values of an i32 tensor are positions along an axis `of`.
 *
 *     x: … → …
 */
export function indexing<X extends string, const Of extends string>(x: Tensor<X, "i32">, _of: Of): Index<X, Of> {
  return x as Index<X, Of>
}

/**
 * How many elements `axis` has: a number, or a symbol that is known per step.
 *
 *     x: … axis[n] → n
 *
 * @throws `trace/axis` when there is no such axis
 */
export function extent<X extends string>(x: Tensor<X, ValueType>, axis: NoInfer<X>): Extent {
  return tracing().extent(x, axis)
}

/**
 * The extent of an axis that must be known when the program is compiled.
 *
 *     x: … axis[n] → n
 *
 * @throws `trace/axis` when there is no such axis
 */
export function size<X extends string>(x: Tensor<X, ValueType>, axis: NoInfer<X>): number {
  const found = tracing().extent(x, axis)
  if (typeof found === "number") return found
  return tracing().fail(
    "trace/symbolic-extent",
    `the extent of '${axis}' is not known when the program is compiled`,
    "use extent(…), which may be a symbol",
  )
}

/**
 * a + b of extents.
 *
 * @throws `trace/extent` when a part is no whole number or extent
 */
export function plus(a: Extent, b: Extent): Extent {
  return tracing().plus(a, b)
}

/**
 * a − b of extents.
 *
 * @throws `trace/extent` when a part is no whole number or extent
 */
export function minus(a: Extent, b: Extent): Extent {
  return tracing().minus(a, b)
}

/**
 * a · b of extents.
 *
 * @throws `trace/extent` when a part is no whole number or extent
 */
export function times(a: Extent, b: Extent): Extent {
  return tracing().times(a, b)
}
