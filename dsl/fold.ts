/**
 * Reductions and prefixes along an axis. The contraction is one of them: a product, then a sum.
 *
 *     dot(x, w, "embed")                        x: seq embed, w: embed hidden     → seq hidden
 *     dot(p, values, "key")                     kv stays, for both have it        → a batched contraction, with no word for it
 *     top(scores, "expert", 2, "slot")          → index and value: seq slot
 *
 * A reduction of an axis of extent 0 gives the identity: 0, −∞ (max) or +∞ (min), and the ends of
 * their range for integers. NaN among the elements is the result of every reduction but for `argmax` and `top`, where it comes first.
 */
import { tracing } from "./attach.js"
import type { Fresh, Index, NumberType, Strangers, Tensor } from "./tensor.js"
import type { FoldKind, Traced } from "./tracing.js"

const product = (a: number, b: number) => a * b

/**
 * Σ x·w over one or more axes that both have. Axes of one argument only are kept, and so are shared axes that are not named.
 *
 *     x: … over[n], w: … over[n] → the other axes of both, those of one name once
 *
 * @throws `trace/axis` when an axis that is summed over is on neither side
 * @throws `trace/extent` when an axis that both have has two extents
 */
export function dot<X extends string, W extends string, const K extends (X & W) | Strangers<X & W>>(
  x: Tensor<X>,
  w: Tensor<W>,
  first: K,
  ...over: K[]
): Tensor<Exclude<X | W, K>> {
  const trace = tracing()
  const products = trace.map(product, [x, w], true, "f32")
  return [first, ...over].reduce<Traced>((t, axis) => trace.fold("sum", t, axis), products) as Tensor<Exclude<X | W, K>>
}

/**
 * Folds `x` along `axis`, which is dropped.
 *
 *     x: … axis[n] → …
 *
 * @throws `trace/axis` when there is no such axis
 * @throws `trace/argument` when there is no fold of that kind
 */
export function reduce<X extends string, D extends NumberType, const K extends X>(
  kind: FoldKind,
  x: Tensor<X, D>,
  axis: K,
): Tensor<Exclude<X, K>, D> {
  return tracing().fold(kind, x, axis) as Tensor<Exclude<X, K>, D>
}

/**
 * Σ x along `axis`, which is dropped. Integers wrap; what f32 may be off by stands in the README (sums).
 *
 *     x: … axis[n] → …
 *
 * @throws `trace/axis` when there is no such axis
 */
export function sum<X extends string, D extends NumberType, const K extends X>(
  x: Tensor<X, D>,
  axis: K,
): Tensor<Exclude<X, K>, D> {
  return reduce("sum", x, axis)
}

/**
 * The largest value along `axis`, which is dropped.
 *
 *     x: … axis[n] → …
 *
 * @throws `trace/axis` when there is no such axis
 * @throws `trace/type` when it is a bool
 */
export function max<X extends string, D extends NumberType, const K extends X>(
  x: Tensor<X, D>,
  axis: K,
): Tensor<Exclude<X, K>, D> {
  return reduce("max", x, axis)
}

/**
 * The smallest value along `axis`, which is dropped.
 *
 *     x: … axis[n] → …
 *
 * @throws `trace/axis` when there is no such axis
 */
export function min<X extends string, D extends NumberType, const K extends X>(
  x: Tensor<X, D>,
  axis: K,
): Tensor<Exclude<X, K>, D> {
  return reduce("min", x, axis)
}

/**
 * Inclusive prefix along `axis`: the result at i folds x[0 … i]. The work is in proportion to the elements. A sum of f32 at i is off by about
 * (8 + log2 i) · 2^-24 · Σ|x[0 … i]| at most, for long axes are summed in blocks and blocks of blocks.
 *
 *     x: … axis[n] → … axis[n]
 *
 * @throws `trace/axis` when there is no such axis
 * @throws `trace/argument` when there is no fold of that kind
 */
export function scan<X extends string, D extends NumberType>(
  kind: FoldKind,
  x: Tensor<X, D>,
  axis: NoInfer<X>,
): Tensor<X, D> {
  return tracing().scan(kind, x, axis) as Tensor<X, D>
}

/**
 * The position of the largest value along `axis`, the lowest on ties; NaN comes before every number.
 *
 *     x: … axis[n] → …
 *
 * @throws `trace/axis` when there is no such axis
 * @throws `trace/extent` when the axis has no elements; where a run decides, that run ends in `program/size`
 * @throws `trace/type` when it is a bool
 */
export function argmax<X extends string, const K extends X>(x: Tensor<X>, axis: K): Index<Exclude<X, K>, K> {
  return tracing().top(x, axis, 1, undefined).index as Index<Exclude<X, K>, K>
}

/**
 * The `k` largest values along `axis` in descending order, and their positions, along a new axis `slot`; the lowest position first on ties, and
 * NaN before every number.
 *
 *     x: … axis[n] → index and value: … slot[k]
 *
 * @throws `trace/axis` when there is no such axis, or `slot` is there already
 * @throws `trace/extent` when `k` is no whole number from 1 to the axis' extent; where a run decides, that run ends in `program/size`
 */
export function top<X extends string, const K extends X, const S extends string>(
  x: Tensor<X>,
  axis: K,
  k: number,
  slot: Fresh<S, X>,
): { readonly index: Index<Exclude<X, K> | S, K>; readonly value: Tensor<Exclude<X, K> | S> } {
  return tracing().top(x, axis, k, slot ?? "") as {
    readonly index: Index<Exclude<X, K> | S, K>
    readonly value: Tensor<Exclude<X, K> | S>
  }
}
