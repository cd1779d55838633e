/**
 * A call of a scalar operation, as a table of spellings is asked for its text (`Spellings`, complete by its type).
 *
 *   add       (a + b)
 *   floordiv  floorDivide(a, b), or (a / b) where a is known not to be negative
 *
 * Arguments arrive as text of one width. The text is an atom: it can be put anywhere.
 */
import { isLiteral } from "../../ir/expression.js"
import type { Expression, OperationNode } from "../../ir/nodes.js"
import type { DType, Operation } from "../../ir/operations.js"
import type { Context } from "./dialect.js"
import { argument } from "./literals.js"
import { isNonNegative } from "./signs.js"

export interface Call {
  readonly args: readonly string[]
  /** dtype of the arguments (of the second and third for `select`). */
  readonly dtype: DType
  readonly width: number
  /** Whether the first argument is known to be at least 0. */
  readonly nonNegative: boolean
  /** Whether all of them are. */
  readonly allNonNegative: boolean
  /** Whether it is a part of a number of elements. */
  readonly isIndex: boolean
  /** The value of the second argument, when it is a literal. */
  readonly literal: number | undefined
  /** Whether the second argument is known to be below 2^125 in size. */
  readonly moderate: boolean
  /** Asks for a helper function of this width and returns its name. */
  readonly helper: (stem: string) => string
}
export type Spelling = (call: Call) => string
export type Spellings = { readonly [O in Operation]: Spelling }

export const infix =
  (sign: string): Spelling =>
  ({ args }) =>
    `(${args[0]} ${sign} ${args[1]})`
export const prefix =
  (sign: string): Spelling =>
  ({ args }) =>
    `(${sign}${args[0]})`
export const call =
  (name: string): Spelling =>
  ({ args }) =>
    `${name}(${args.map(argument).join(", ")})`
export const helper =
  (stem: string): Spelling =>
  (c) =>
    call(c.helper(stem))(c)

/** The call of an operation on these texts. The condition of a `select` may be one for all lanes. */
export function callOf(context: Context, x: OperationNode, texts: readonly string[]): Call {
  const condition = x.operation === "select" && x.args[0]!.width === 1
  const args = texts.map((text, i) => {
    const a = x.args[i]!
    const fits = a.width === x.width || (condition && i === 0)
    return fits ? text : context.dialect.vector({ dtype: a.dtype, width: x.width }, [text])
  })
  const second = x.args[1]?.kind === "splat" ? x.args[1].of : x.args[1]
  return {
    args,
    dtype: x.args[x.operation === "select" ? 1 : 0]!.dtype,
    width: x.width,
    nonNegative: isNonNegative(x.args[0]!, context.nonNegative),
    isIndex: context.numbers === true,
    allNonNegative: x.args.every((a) => isNonNegative(a, context.nonNegative)),
    literal: second !== undefined && isLiteral(second) ? second.value : undefined,
    moderate: second !== undefined && isModerate(second),
    helper: (stem) => context.library.use(stem, x.width),
  }
}

/** Whether a value of f32 is known to be below 2^125 in size, or no number. */
function isModerate(x: Expression): boolean {
  if (isLiteral(x)) return Math.abs(x.value) < 2 ** 125
  // A root is below 2^64, or infinite: what is divided by it is 0 then, as it should be.
  return x.kind === "operation" && x.operation === "sqrt"
}
