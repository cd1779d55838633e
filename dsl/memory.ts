/**
 * Where values come from and where they stay.
 *
 *     iota("seq", extent(x, "seq"), extent(past.k, "key"), "position")     the positions of the new tokens: affine, never uploaded
 *     at(embedding, "vocab", tokens)                                       vocab embed, indexed by seq → seq embed
 *     append(past.k, "key", k)                                             the cache with the new rows after the old ones
 *
 * `append` and `assign` are pure in the language: they give the new value of a state. The compiler writes it in place, so a state has one
 * new value per step, and the program returns it.
 */
import { tracing } from "./attach.js"
import type { Index, NumberType, Tensor } from "./tensor.js"
import type { Extent, ValueType } from "./tracing.js"

/**
 * start, start + 1, … along `axis`: positions along an axis `of`.
 *
 *     → axis[extent]
 *
 * @throws `trace/axis` when `axis` is no name
 * @throws `trace/extent` when the extent is no whole number from 0, or the start no whole number
 */
export function iota<const A extends string, const Of extends string>(
  axis: A,
  extent: Extent,
  start: Extent,
  _of: Of,
): Index<A, Of> {
  return tracing().iota(axis, extent, start) as Index<A, Of>
}

/**
 * Numbers that TypeScript computed in float64, one for each element of `axis`, rounded once.
 *
 *     → axis[values.length]
 *
 * @throws `trace/axis` when `axis` is no name
 * @throws `trace/number` when a value is no number that `dtype` holds: 1e39 and 1n in f32, 0.5 and 2^31 in i32
 * @throws `trace/type` when there is no such value type
 */
export function constant<const A extends string, D extends NumberType = "f32">(
  axis: A,
  values: ArrayLike<number>,
  dtype?: D,
): Tensor<A, D> {
  return tracing().constant(
    [{ axis, extent: values?.length ?? 0 }],
    values,
    dtype === undefined ? "f32" : dtype,
  ) as Tensor<A, D>
}

/**
 * One number as a tensor without axes. Numbers inside of scalar functions need none: they are captured.
 *
 *     → no axes
 *
 * @throws `trace/number` when the value is no number that `dtype` holds
 * @throws `trace/type` when there is no such value type
 */
export function literal<D extends NumberType = "f32">(value: number, dtype?: D): Tensor<never, D> {
  return tracing().constant([], [value], dtype === undefined ? "f32" : dtype) as Tensor<never, D>
}

/**
 * w[axis = index[…]]: the axis is replaced by the axes of `index`; axes that both have are matched. Out of range is clamped.
 *
 *     w: … axis[n], index: its axes → … and the axes of `index`, those of one name once
 *
 * @throws `trace/axis` when there is no such axis
 * @throws `trace/type` when the index is not i32
 * @throws `trace/extent` when an axis that both have has two extents
 */
export function at<W extends string, D extends ValueType, const K extends W, I extends string>(
  w: Tensor<W, D>,
  axis: K,
  index: Index<I, NoInfer<K>>,
): Tensor<Exclude<W, K> | I, D> {
  return tracing().gather(w, axis, index) as Tensor<Exclude<W, K> | I, D>
}

/**
 * The state `past` with the rows of `x` after its own along `axis`.
 *
 *     past: … axis[past], x: … axis[new] → … axis[past + new]
 *
 * @throws `trace/state` when `past` is no state as the model was given it, or keeps its last rows along another axis, or has no room for so many
 */
export function append<A extends string, D extends ValueType>(
  past: Tensor<A, D>,
  axis: NoInfer<A>,
  x: Tensor<NoInfer<A>, NoInfer<D>>,
): Tensor<A, D> {
  return tracing().append(past, axis, x) as Tensor<A, D>
}

/**
 * The state replaced by `x`.
 *
 *     state: …, x: … → …
 *
 * @throws `trace/state` when `state` is no state as the model was given it, or keeps its last rows, which are appended
 */
export function assign<A extends string, D extends ValueType>(
  state: Tensor<A, D>,
  x: Tensor<NoInfer<A>, NoInfer<D>>,
): Tensor<A, D> {
  return tracing().assign(state, x) as Tensor<A, D>
}
