/**
 * Elementwise: a scalar function applied at every place of tensors that broadcast by name.
 *
 *     map((g, u) => (g / (1 + Math.exp(-g))) * u, gate, up)
 *     map((v, b) => v + b, x, bias)            x: seq embed, bias: embed        → seq embed
 *     map((a, b) => a + b, x, h)               x: seq embed, h: seq hidden      → a type error: outer() says that it is meant
 *
 * One argument has all axes of the result and the others broadcast into it, so a forgotten contraction cannot pass as an outer product.
 * A comparison gives bool. Numbers of one value type give that type and mixed ones f32; `mapTo` and `outerTo` name another. The claim is
 * checked against what the compiler has lowered. What a scalar function may contain and what it means stands in README.md.
 */
import { tracing } from "./attach.js"
import { toF32, toI32, toU32 } from "./scalar.js"
import type { AnyTensor, AxesOf, Covered, Mapped, NumberType, Scalars, Tensor, Typed } from "./tensor.js"
import type { Traced, ValueType } from "./tracing.js"

type Result<T extends readonly AnyTensor[], R> = Tensor<AxesOf<T[number]>, Mapped<T, R>>

/**
 * Applies `fn`, a scalar function, at every place. One of `tensors` has all axes of the result.
 *
 *     tensors: … → the axes of all, all of which one of them has
 *
 * @throws `scalar/unknown` when `fn` is no function that the compiler has read
 * @throws `scalar/type` when its values do not fit each other
 * @throws `trace/value-type` when its result is of another value type than the call's type says
 * @throws `trace/argument` when there is no tensor
 * @throws `trace/extent` when an axis has two extents
 */
export function map<const T extends readonly [AnyTensor, ...AnyTensor[]], R extends number | boolean>(
  fn: (...values: Scalars<T>) => R,
  ...tensors: Covered<T>
): Result<T, R> {
  return applied(fn, tensors as readonly Traced[], "map") as Result<T, R>
}

/**
 * `map` whose arguments may each bring axes that the others lack: the result has all of them.
 *
 *     outer((v, l, r) => (r === l ? v : 0), x, line, row)      x: batch column, line: column, row: row      → batch row column
 *
 *     tensors: … → the axes of all
 *
 * @throws `scalar/unknown` when `fn` is no function that the compiler has read
 * @throws `trace/value-type` when its result is of another value type than the call's type says
 * @throws `trace/extent` when an axis has two extents
 */
export function outer<const T extends readonly [AnyTensor, ...AnyTensor[]], R extends number | boolean>(
  fn: (...values: Scalars<T>) => R,
  ...tensors: T
): Result<T, R> {
  return applied(fn, tensors, "outer") as Result<T, R>
}

/**
 * `map` with a result of value type `dtype`, for functions that convert: `mapTo("f32", (p) => toF32(p) / 2, position)`.
 *
 *     tensors: … → the axes of all, all of which one of them has
 *
 * @throws `trace/type` when there is no such value type
 * @throws `trace/value-type` when the result is of another
 * @throws `trace/extent` when an axis has two extents
 */
export function mapTo<const T extends readonly [AnyTensor, ...AnyTensor[]], D extends NumberType>(
  dtype: D,
  fn: (...values: Scalars<T>) => number,
  ...tensors: Covered<T>
): Tensor<AxesOf<T[number]>, D> {
  return appliedTo(dtype, fn, tensors as readonly Traced[], "map") as Tensor<AxesOf<T[number]>, D>
}

/**
 * `outer` with a result of value type `dtype`: `outerTo("f32", (a, b) => toF32(a === b), label, iota("class", 5, 0, "class"))`.
 *
 *     tensors: … → the axes of all
 *
 * @throws `trace/type` when there is no such value type
 * @throws `trace/value-type` when the result is of another
 */
export function outerTo<const T extends readonly [AnyTensor, ...AnyTensor[]], D extends NumberType>(
  dtype: D,
  fn: (...values: Scalars<T>) => number,
  ...tensors: T
): Tensor<AxesOf<T[number]>, D> {
  return appliedTo(dtype, fn, tensors, "outer") as Tensor<AxesOf<T[number]>, D>
}

/**
 * The first of `tensors` where the condition holds, else the second. One of the three has all axes.
 *
 *     tensors: … → the axes of all, all of which one of them has
 *
 * @throws `scalar/type` when the condition is no bool, or the two are of different value types
 * @throws `trace/extent` when an axis has two extents
 */
export function where<const T extends readonly [Typed<"bool">, Typed<NumberType>, Typed<NumberType>]>(
  ...tensors: Covered<T>
): Result<T, number> {
  return applied(choose, tensors as readonly Traced[], "map") as Result<T, number>
}

const choose = (condition: boolean, x: number, otherwise: number) => (condition ? x : otherwise)

/**
 * x as another number type: to f32 rounded to nearest even; to i32 and u32 truncated and saturated, bits kept between those two.
 *
 *     x: … → …
 *
 * @throws `trace/type` when there is no such value type
 */
export function cast<X extends string, D extends NumberType>(x: Tensor<X, ValueType>, dtype: D): Tensor<X, D> {
  return appliedTo(dtype, conversions[dtype], [x], "map") as Tensor<X, D>
}

const conversions: Readonly<Record<NumberType, (x: number) => number>> = {
  f32: (x) => toF32(x),
  i32: (x) => toI32(x),
  u32: (x) => toU32(x),
}

type Way = "map" | "outer"

/** Mirrors `Mapped`: numbers of one value type give that type, all others f32. */
function applied(fn: unknown, args: readonly Traced[], way: Way): Traced {
  const trace = tracing()
  const types = new Set(args.map((t) => trace.dtype(t)).filter((type) => type !== "bool"))
  const [first = "f32"] = types
  const claimed = types.size > 1 ? "f32" : first
  const result = trace.map(fn, args, way === "outer", claimed)
  const found = trace.dtype(result)
  if (found === claimed || found === "bool") return result
  return trace.fail(
    "trace/value-type",
    `the scalar function gives ${found}, and its type says ${claimed}`,
    `write ${way}To("${found}", …) to name the value type, or convert inside of the function`,
  )
}

/** A scalar function whose value type is named. */
function appliedTo(dtype: NumberType, fn: unknown, args: readonly Traced[], way: Way): Traced {
  const trace = tracing()
  const result = trace.map(fn, args, way === "outer", dtype)
  const found = trace.dtype(result)
  if (found === dtype) return result
  return trace.fail(
    "trace/value-type",
    `the scalar function gives ${found}, and ${way}To("${dtype}", …) says ${dtype}`,
    `convert inside of the function with to${dtype.toUpperCase()}(…)${found === "bool" ? "" : `, or write ${way}To("${found}", …)`}`,
  )
}
