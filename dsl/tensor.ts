/**
 * Tensors with named axes, and the sentences that the editor shows when the axes of a call do not fit.
 *
 *     x: Tensor<"seq" | "embed">                f32, two axes, in no order
 *     tokens: Index<"seq", "vocab">             i32, one axis; its values are positions along an axis "vocab"
 *     dot(x, w, "dim")                          error: '"dim"' is not assignable to '"embed"'
 *
 * The axes are a union of string literals and the type is invariant in it: a tensor that lacks an axis, or has one too many, is another
 * type. Sizes are not in the types; they are checked while tracing. Nothing here exists at run time: a tensor is the compiler's node.
 * Where a conditional type rejects an argument, it resolves to a sentence, so that the sentence is what the editor prints.
 */
import type { Traced, ValueType } from "./tracing.js"

declare const axes: unique symbol
declare const named: unique symbol
declare const dtype: unique symbol
declare const indexed: unique symbol

/** A tensor with values of type `D` and any axes. */
export interface Typed<D extends ValueType> extends Traced {
  readonly [dtype]: D
  readonly [named]: string
}

/** A tensor with the axes `A`, a union of names, and values of type `D`. How values are stored is no part of its type. */
export interface Tensor<A extends string, D extends ValueType = "f32"> extends Typed<D> {
  readonly [axes]: (a: A) => A
  readonly [named]: A
}

/** A tensor of any axes and value type. */
export type AnyTensor = Typed<ValueType>

/** An i32 tensor whose values are positions along an axis `Of`. */
export interface Index<A extends string, Of extends string> extends Tensor<A, "i32"> {
  readonly [indexed]: (of: Of) => Of
}

/** The value types that arithmetic takes. */
export type NumberType = Exclude<ValueType, "bool">

/** Nested objects and arrays of tensors: parameters, state, results. */
export type Tree = Traced | undefined | readonly Tree[] | { readonly [name: string]: Tree }

/** The axes of a tensor type. */
export type AxesOf<T extends AnyTensor> = T[typeof named]

/** The value type of a tensor type. */
export type ValueTypeOf<T extends AnyTensor> = T[typeof dtype]

/** What a scalar function receives for each of the tensors `T`. */
export type Scalars<T extends readonly AnyTensor[]> = { [I in keyof T]: ScalarOf[ValueTypeOf<T[I]>] }
interface ScalarOf {
  f32: number
  i32: number
  u32: number
  bool: boolean
}

/** The value type of `map`'s result: bool from a comparison, else that of the numbers if they agree, else f32. */
export type Mapped<T extends readonly AnyTensor[], R> = [R] extends [boolean]
  ? "bool"
  : Agreed<Exclude<ValueTypeOf<T[number]>, "bool">>
type Agreed<D> = [D] extends [never] ? "f32" : [D] extends ["i32"] ? "i32" : [D] extends ["u32"] ? "u32" : "f32"

/** `T` when one of the tensors has all axes of all of them; otherwise sentences in the places of the arguments. */
export type Covered<T extends readonly AnyTensor[]> =
  Held<AxesOf<T[number]>> extends { [I in keyof T]: Held<AxesOf<T[I]>> }[number]
    ? T
    : T extends readonly [infer L extends AnyTensor, infer R extends AnyTensor]
      ? [L, Neither<AxesOf<L>, AxesOf<R>>]
      : { [I in keyof T]: `no argument has all axes: '${Exclude<AxesOf<T[number]>, AxesOf<T[I]>>}' is missing here` }
/** What a condition compares: TypeScript decides it at once where `A` is a parameter of a generic function, which it puts off for `[A]`. */
interface Held<A extends string> {
  readonly held: () => A
}
type Neither<
  L extends string,
  R extends string,
> = `neither argument has all axes: '${Exclude<L, R>}' is missing on the right, '${Exclude<R, L>}' on the left`

/** A tensor of the axes `R` beside one of the axes `L`, when one of the two has all axes of both. */
export type Beside<L extends string, R extends string> =
  Held<L> extends Held<R> ? Tensor<R> : Held<R> extends Held<L> ? Tensor<R> : Neither<L, R>

/** A sentence, beside the axes that two tensors share (`Both`), when there are none along which they could be contracted. */
export type Strangers<Both> = [Both] extends [never] ? "the arguments share no axis" : never

/** A name for a new axis beside the axes `A`. */
export type Fresh<N extends string, A extends string> = N extends A ? `axis '${N}' exists already` : N
