/**
 * The functions that models are made of, written in the language. The compiler knows none of them.
 *
 *     softmax(causal(scale(dot(q, keys, "dim"), 0.125), position, "key"), "key")
 *
 * Each has one signature for its callers, which names the axes, and a body that is generic in them: there `Tensor<string>` is a tensor of
 * whatever axes.
 */
import { tracing } from "./attach.js"
import { extent, roll, size } from "./axes.js"
import { max, sum } from "./fold.js"
import { map, outer } from "./map.js"
import { constant, iota } from "./memory.js"
import { toF32 } from "./scalar.js"
import type { Beside, Index, Tensor } from "./tensor.js"
import type { Traced } from "./tracing.js"

/**
 * x + y; one of the two has all axes.
 *
 *     x: …, y: … → the axes of both, all of which one of them has
 *
 * @throws `trace/extent` when an axis has two extents
 */
export function add<L extends string, R extends string>(x: Tensor<L>, y: Beside<L, R>): Tensor<L | R>
export function add(x: Tensor<string>, y: Tensor<string>): Tensor<string> {
  return map((a, b) => a + b, x, y)
}

/**
 * x · y, place by place; one of the two has all axes.
 *
 *     x: …, y: … → the axes of both, all of which one of them has
 *
 * @throws `trace/extent` when an axis has two extents
 */
export function mul<L extends string, R extends string>(x: Tensor<L>, y: Beside<L, R>): Tensor<L | R>
export function mul(x: Tensor<string>, y: Tensor<string>): Tensor<string> {
  return map((a, b) => a * b, x, y)
}

/**
 * x times a number that is known when the model is compiled.
 *
 *     x: … → …
 *
 * @throws `scalar/type` when the factor is no number
 */
export function scale<X extends string>(x: Tensor<X>, factor: number): Tensor<X>
export function scale(x: Tensor<string>, factor: number): Tensor<string> {
  return map((v) => v * factor, x)
}

/**
 * x + b where there is a b: for biases that some checkpoints have.
 *
 *     x: …, b: some of its axes → …
 *
 * @throws `trace/extent` when an axis has two extents
 */
export function biased<X extends string, B extends X>(x: Tensor<X>, b: Tensor<B> | undefined): Tensor<X>
export function biased(x: Tensor<string>, b: Tensor<string> | undefined): Tensor<string> {
  return b === undefined ? x : map((v, shift) => v + shift, x, b)
}

/** x / (1 + e^−x), for use inside scalar functions; NaN at −∞, as the formula has it. */
export const silu = (x: number): number => x / (1 + Math.exp(-x))

/**
 * exp(x − max x) / Σ exp(x − max x) along `axis`. An element of −∞, as masks have it, gets 0. A row of nothing but −∞ is NaN, which is what
 * exp(−∞ − −∞) is, and so is a row with NaN or +∞ in it.
 *
 *     x: … axis[n] → … axis[n]
 *
 * @throws `trace/axis` when there is no such axis
 */
export function softmax<X extends string>(x: Tensor<X>, axis: NoInfer<X>): Tensor<X>
export function softmax(x: Tensor<string>, axis: string): Tensor<string> {
  const e = map((v, largest) => Math.exp(v - largest), x, max(x, axis))
  return map((v, total) => v / total, e, sum(e, axis))
}

/**
 * x / Σ x along `axis`.
 *
 *     x: … axis[n] → … axis[n]
 *
 * @throws `trace/axis` when there is no such axis
 */
export function normalize<X extends string>(x: Tensor<X>, axis: NoInfer<X>): Tensor<X>
export function normalize(x: Tensor<string>, axis: string): Tensor<string> {
  return map((v, total) => v / total, x, sum(x, axis))
}

/**
 * w · x / √(mean x² + eps), the mean along `axis`, or along several (Zhang and Sennrich 2019, arXiv 1910.07467).
 *
 *     x: … axis[n], w: some of its axes → … axis[n]
 *
 * @throws `trace/axis` when there is no such axis, or a list of none
 * @throws `trace/extent` when an axis has two extents
 */
export function rmsNorm<X extends string, W extends X>(
  x: Tensor<X>,
  w: Tensor<W>,
  axis: NoInfer<W> | readonly [NoInfer<W>, ...NoInfer<W>[]],
  eps: number,
): Tensor<X>
export function rmsNorm(
  x: Tensor<string>,
  w: Tensor<string>,
  axis: string | readonly string[],
  eps: number,
): Tensor<string> {
  const axes = [axis].flat()
  if (axes.length === 0)
    return tracing().fail("trace/axis", "a norm over no axis", "name the axis that the mean is taken along, or several")
  const count = axes.reduce((n, a) => n * size(x, a), 1)
  const squares = axes.reduce<Traced>(
    (t, a) => tracing().fold("sum", t, a),
    map((v) => v * v, x),
  ) as Tensor<string>
  const inverse = map((total) => 1 / Math.sqrt(total / count + eps), squares)
  return map((v, r, weight) => weight * (v * r), x, inverse, w)
}

/** What `rope` needs: radians per position for each pair of channels, and a factor on cosine and sine. */
export interface Rotary {
  readonly frequencies: readonly number[]
  readonly scaling: number
}

/**
 * Turns channel pairs (j, j + extent/2) along `axis` by position · frequencies[j] radians: the half-split form (GPT-NeoX). With c and s the
 * cosine and sine times `scaling`, result[j] = x[j]·c − x[j + extent/2]·s and result[j + extent/2] = x[j + extent/2]·c + x[j]·s.
 *
 *     x: … axis[2 · frequencies], position: some of its axes → … axis[2 · frequencies]
 *
 * @throws `trace/axis` when there is no such axis
 * @throws `trace/rotary-extent` when `axis` has not twice as many elements as there are frequencies
 */
export function rope<X extends string, P extends X>(
  x: Tensor<X>,
  position: Index<P, "position">,
  axis: NoInfer<X>,
  rotary: Rotary,
): Tensor<X>
export function rope(
  x: Tensor<string>,
  position: Index<string, "position">,
  axis: string,
  { frequencies, scaling }: Rotary,
): Tensor<string> {
  const half = frequencies.length
  if (size(x, axis) !== 2 * half)
    return tracing().fail(
      "trace/rotary-extent",
      `axis '${axis}' has ${size(x, axis)} elements, and there are ${half} frequencies`,
      "there is one frequency for each pair of channels: rotaryFrequencies(config, extent) of weft/models/rotary",
    )
  const turn = outer((p, f) => toF32(p) * f, position, constant(axis, [...frequencies, ...frequencies]))
  const sign = constant(
    axis,
    Array.from({ length: 2 * half }, (_, j) => (j < half ? -scaling : scaling)),
  )
  return map(
    (v, other, angle, s) => v * (Math.cos(angle) * scaling) + other * (Math.sin(angle) * s),
    x,
    roll(x, axis, half),
    turn,
    sign,
  )
}

/**
 * Scores of the keys that a query may see, −∞ elsewhere. `position` is the query's, a key's position is its place along `axis`:
 * it is seen when key ≤ position and, with a window, key > position − window.
 *
 *     scores: … axis[n], position: some of its axes → … axis[n]
 *
 * @throws `trace/axis` when there is no such axis
 * @throws `trace/window` when the window is no whole number from 1 to 2^31 − 1
 */
export function causal<X extends string, P extends X>(
  scores: Tensor<X>,
  position: Index<P, "position">,
  axis: NoInfer<X>,
  window?: number,
): Tensor<X>
export function causal(
  scores: Tensor<string>,
  position: Index<string, "position">,
  axis: string,
  window?: number,
): Tensor<string> {
  const key = iota(axis, extent(scores, axis), 0, "position")
  if (window === undefined) return map((s, p, k) => (k <= p ? s : -Infinity), scores, position, key)
  if (!(Number.isInteger(window) && window >= 1 && window < 2 ** 31))
    return tracing().fail(
      "trace/window",
      `the window is ${String(window)}; it is a whole number of keys from 1`,
      "leave it out to see all keys before",
    )
  const width = window
  return map((s, p, k) => (k <= p && k > p - width ? s : -Infinity), scores, position, key)
}
