/**
 * Scalar functions: from what the front end read to typed expressions.
 *
 *   (g, u) => (g / (1 + Math.exp(-g))) * u     with f32, f32
 *   →  (($0 / (1.0 + exp(neg($0)))) * $1)
 *
 * A number literal has no dtype of its own: it takes that of what it meets, or that which the call claims for its result; captured numbers are
 * such, too (scalar-values.ts). Captured functions are inlined from their own attachments.
 */

import type { ScalarAttachment, ScalarPlace, ScalarSource } from "../../dsl/attach.js"
import { scalarAttachment } from "../../dsl/attach.js"
import { type Span, WeftError } from "../../runtime/errors.js"
import { TypeProblem, variable } from "../ir/expression.js"
import { memoized } from "../ir/memoized.js"
import type { Expression } from "../ir/nodes.js"
import type { DType } from "../ir/operations.js"
import { Misfit, operate, settle, truth, type Value, weak } from "./scalar-values.js"

type ScalarFunction = Extract<ScalarAttachment, { kind: "function" }>

/**
 * The body of a scalar function over `$0, $1, …` of the given dtypes. A result of numbers alone is of the type `claimed`. `fallback` is the place
 * of the call, for errors without one of their own.
 */
export function typeScalar(
  fn: unknown,
  parameters: readonly DType[],
  claimed: DType,
  fallback: Span | undefined,
): Expression {
  const attachment = known(fn, fallback)
  if (attachment.parameters.length > parameters.length)
    throw error(
      attachment,
      undefined,
      fallback,
      `this function takes ${attachment.parameters.length} arguments but is given ${parameters.length} tensors`,
      "pass one tensor per parameter",
    )
  const args = parameters.map((dtype, i): Value => ({ typed: variable(`$${i}`, dtype) }))
  const result = inline(attachment, args, [], fallback)
  return placed(attachment, attachment.result.span, fallback, () =>
    settle(result, claimed === "bool" ? "f32" : claimed),
  )
}

function known(fn: unknown, fallback: Span | undefined): ScalarFunction {
  const attachment = scalarAttachment(fn)
  if (attachment === undefined)
    throw new WeftError("scalar/unknown", "this is not a scalar function that the compiler has read", {
      span: fallback,
      hint: "write it as a TypeScript function of numbers, in a file of your project or a package that was built with weft",
    })
  if (attachment.kind === "refused")
    throw new WeftError("scalar/refused", attachment.message, { span: attachment.span, hint: attachment.hint })
  return attachment
}

function error(
  of: ScalarAttachment,
  at: ScalarPlace | undefined,
  fallback: Span | undefined,
  message: string,
  hint: string,
): WeftError {
  // Inside of a library function it is the author's call that does not fit.
  if (of.span.library && fallback !== undefined) return new WeftError("scalar/type", message, { span: fallback, hint })
  const here = at === undefined ? of.span : { file: of.span.file, line: at[0], column: at[1], length: at[2] }
  const text = at === undefined || at[0] === of.span.line ? of.span.text : undefined
  return new WeftError("scalar/type", message, { span: text === undefined ? here : { ...here, text }, hint })
}

/** Runs `body`; a type that does not fit is told at `at`. */
function placed<T>(of: ScalarAttachment, at: ScalarPlace, fallback: Span | undefined, body: () => T): T {
  try {
    return body()
  } catch (e) {
    if (!(e instanceof TypeProblem)) throw e
    throw error(
      of,
      at,
      fallback,
      e.message,
      e instanceof Misfit ? e.hint : "convert one side with toF32, toI32 or toU32",
    )
  }
}

function inline(
  of: ScalarFunction,
  args: readonly Value[],
  stack: readonly unknown[],
  fallback: Span | undefined,
): Value {
  if (stack.includes(of))
    throw error(
      of,
      undefined,
      fallback,
      "a scalar function may not call itself",
      "write the recursion out, or use a reduction",
    )
  const captures = of.captures()
  const locals: Value[] = []
  const visit: (x: ScalarSource) => Value = memoized((x) => placed(of, x.span, fallback, () => step(x)))
  const step = (x: ScalarSource): Value => {
    switch (x.kind) {
      case "number":
        return weak(x.value)
      case "boolean":
        return truth(x.value)
      case "parameter":
        return args[x.index]!
      case "local":
        return locals[x.index]!
      case "capture":
        return captured(of, x, captures[x.name], fallback)
      case "call":
        return inline(called(of, x, captures[x.name], fallback), x.args.map(visit), [...stack, of], fallback)
      case "operation":
        return operate(x.operation, x.args.map(visit), (fail) => placed(of, x.span, fallback, fail))
      default:
        return x satisfies never
    }
  }
  for (const local of of.locals) locals.push(visit(local))
  return visit(of.result)
}

/** A captured number or truth value. */
function captured(
  of: ScalarAttachment,
  x: Extract<ScalarSource, { kind: "capture" }>,
  value: unknown,
  fallback: Span | undefined,
): Value {
  if (typeof value === "number") return weak(value)
  if (typeof value === "boolean") return truth(value)
  const what = `the captured '${x.name}' is ${value === null ? "null" : typeof value}, not a number`
  throw error(of, x.span, fallback, what, "capture a const number")
}

/** The scalar function that a call names. */
function called(
  of: ScalarAttachment,
  x: Extract<ScalarSource, { kind: "call" }>,
  captured: unknown,
  fallback: Span | undefined,
): ScalarFunction {
  const attachment = scalarAttachment(captured)
  const problem = (message: string, hint: string) => error(of, x.span, fallback, `'${x.name}' ${message}`, hint)
  if (attachment === undefined)
    throw problem(
      "is not a scalar function that the compiler has read",
      "its package must be built with weft, or write the function here",
    )
  if (attachment.kind === "refused")
    throw new WeftError("scalar/refused", attachment.message, { span: attachment.span, hint: attachment.hint })
  if (attachment.parameters.length !== x.args.length)
    throw problem(`takes ${attachment.parameters.length} arguments, not ${x.args.length}`, "pass every argument")
  return attachment
}
