/**
 * Scalar functions: from what the front end read to typed expressions.
 *
 *   (g, u) => (g / (1 + Math.exp(-g))) * u     with f32, f32
 *   →  (($0 / (1.0 + exp(neg($0)))) * $1)
 *
 * A number literal has no dtype of its own: it takes that of the operand beside it, and f32 when there is none. Such values are "weak":
 * functions from a dtype to an expression. Captured numbers are weak too; captured functions are inlined from their own attachments.
 */
import type { ScalarAttachment, ScalarOperation, ScalarPlace, ScalarSource, SourceSpan } from "../../dsl/attach.js"
import { scalarAttachment } from "../../dsl/attach.js"
import { WeftError } from "../../runtime/errors.js"
import { apply, literal, TypeProblem, variable } from "../ir/expression.js"
import type { Expression } from "../ir/nodes.js"
import type { DType, Operation } from "../ir/operations.js"

type Value = { readonly typed: Expression } | { readonly weak: (dtype: DType) => Expression; readonly number?: number }

const direct: Partial<Record<ScalarOperation, Operation>> = {
  "+": "add",
  "-": "sub",
  "*": "mul",
  "/": "div",
  "%": "rem",
  "<": "lt",
  "<=": "le",
  ">": "gt",
  ">=": "ge",
  "===": "eq",
  "!==": "ne",
  "&&": "and",
  "||": "or",
  "!": "not",
  "&": "bitand",
  "|": "bitor",
  "^": "bitxor",
  "~": "bitnot",
  "<<": "shl",
  ">>": "shr",
  abs: "abs",
  floor: "floor",
  ceil: "ceil",
  round: "round",
  trunc: "trunc",
  sign: "sign",
  sqrt: "sqrt",
  exp: "exp",
  log: "log",
  sin: "sin",
  cos: "cos",
  tanh: "tanh",
  pow: "pow",
  imul: "mul",
  bits: "bits",
  fromBits: "fromBits",
}

/** The body of a scalar function over `$0, $1, …` of the given dtypes. `fallback` is the place of the call, for errors without one of their own. */
export function typeScalar(fn: unknown, parameters: readonly DType[], fallback: SourceSpan | undefined): Expression {
  const attachment = known(fn, fallback)
  if (attachment.parameters.length > parameters.length)
    throw error(
      attachment,
      undefined,
      `this function takes ${attachment.parameters.length} arguments but is given ${parameters.length} tensors`,
      "pass one tensor per parameter",
    )
  const args = parameters.map((dtype, i): Value => ({ typed: variable(`$${i}`, dtype) }))
  return settle(inline(attachment, args, []), "f32")
}

function known(fn: unknown, fallback: SourceSpan | undefined): ScalarAttachment & { kind: "function" } {
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

function error(of: ScalarAttachment, at: ScalarPlace | undefined, message: string, hint: string): WeftError {
  const here = at === undefined ? of.span : { file: of.span.file, line: at[0], column: at[1], length: at[2] }
  const text = at === undefined || at[0] === of.span.line ? of.span.text : undefined
  return new WeftError("scalar/type", message, { span: text === undefined ? here : { ...here, text }, hint })
}

const settle = (v: Value, dtype: DType): Expression => ("typed" in v ? v.typed : v.weak(dtype))

function inline(of: ScalarAttachment & { kind: "function" }, args: readonly Value[], stack: readonly unknown[]): Value {
  if (stack.includes(of))
    throw error(of, undefined, "a scalar function may not call itself", "write the recursion out, or use a reduction")
  const captures = of.captures()
  const locals: Value[] = []
  const memo = new Map<ScalarSource, Value>()
  const visit = (x: ScalarSource): Value => {
    const seen = memo.get(x)
    if (seen !== undefined) return seen
    let made: Value
    try {
      made = step(x)
    } catch (e) {
      if (e instanceof TypeProblem) throw error(of, x.span, e.message, "convert one side with toF32, toI32 or toU32")
      throw e
    }
    memo.set(x, made)
    return made
  }
  const step = (x: ScalarSource): Value => {
    switch (x.kind) {
      case "number":
        return weak(x.value)
      case "boolean":
        return { typed: literal(x.value ? 1 : 0, "bool") }
      case "parameter":
        return args[x.index]!
      case "local":
        return locals[x.index]!
      case "capture": {
        const value = captures[x.name]
        if (typeof value === "number") return weak(value)
        if (typeof value === "boolean") return { typed: literal(value ? 1 : 0, "bool") }
        throw error(
          of,
          x.span,
          `the captured '${x.name}' is ${value === null ? "null" : typeof value}, not a number`,
          "capture a const number",
        )
      }
      case "call": {
        const attachment = scalarAttachment(captures[x.name])
        if (attachment === undefined)
          throw error(
            of,
            x.span,
            `'${x.name}' is not a scalar function that the compiler has read`,
            "its package must be built with weft, or write the function here",
          )
        if (attachment.kind === "refused")
          throw new WeftError("scalar/refused", attachment.message, { span: attachment.span, hint: attachment.hint })
        if (attachment.parameters.length !== x.args.length)
          throw error(
            of,
            x.span,
            `'${x.name}' takes ${attachment.parameters.length} arguments, not ${x.args.length}`,
            "pass every argument",
          )
        return inline(attachment, x.args.map(visit), [...stack, of])
      }
      case "operation":
        return operate(x.operation, x.args.map(visit))
      default:
        return x satisfies never
    }
  }
  for (const local of of.locals) locals.push(visit(local))
  return visit(of.result)
}

function weak(value: number): Value {
  return {
    number: value,
    weak: (dtype) => {
      if ((dtype === "i32" || dtype === "u32") && !Number.isInteger(value))
        throw new TypeProblem(`${value} is not an integer, but meets ${dtype}`)
      if (dtype === "bool") throw new TypeProblem(`${value} is a number where a boolean is needed`)
      return literal(value, dtype)
    },
  }
}

function operate(operation: ScalarOperation, args: readonly Value[]): Value {
  switch (operation) {
    case "toF32":
    case "toI32":
    case "toU32": {
      const [x] = args
      const to = operation === "toF32" ? "f32" : operation === "toI32" ? "i32" : "u32"
      if (!("typed" in x!)) return { typed: x!.weak(to) }
      return x.typed.dtype === to ? x : { typed: apply(operation, x.typed) }
    }
    case "negate":
      return combine(
        args,
        ([x]) => (x!.dtype === "u32" ? apply("sub", literal(0, "u32"), x!) : apply("neg", x!)),
        ([x]) => -x!,
      )
    case ">>>":
      return combine(
        args,
        ([a, b]) =>
          a!.dtype === "i32"
            ? apply("toI32", apply("shr", apply("toU32", a!), apply("toU32", b!)))
            : apply("shr", a!, b!),
        ([a, b]) => a! >>> b!,
      )
    case "min":
    case "max":
      return args.slice(1).reduce(
        (a, b) =>
          combine(
            [a, b],
            ([p, q]) => apply(operation, p!, q!),
            ([p, q]) => Math[operation](p!, q!),
          ),
        args[0]!,
      )
    case "select": {
      const condition = settle(args[0]!, "bool")
      return combine(args.slice(1), ([a, b]) => apply("select", condition, a!, b!))
    }
    default: {
      const name = direct[operation]!
      const typed =
        operation === "bits"
          ? args.map((a): Value => ({ typed: settle(a, "f32") }))
          : operation === "fromBits"
            ? args.map((a): Value => ({ typed: settle(a, "u32") }))
            : args
      return combine(typed, (xs) => apply(name, ...xs), folding[operation])
    }
  }
}

/** Arithmetic between captured numbers happens in float64, as in TypeScript, and is rounded once. */
const folding: Partial<Record<ScalarOperation, (xs: readonly number[]) => number>> = {
  "+": ([a, b]) => a! + b!,
  "-": ([a, b]) => a! - b!,
  "*": ([a, b]) => a! * b!,
  "/": ([a, b]) => a! / b!,
  "%": ([a, b]) => a! % b!,
  "<<": ([a, b]) => a! << b!,
  ">>": ([a, b]) => a! >> b!,
  "&": ([a, b]) => a! & b!,
  "|": ([a, b]) => a! | b!,
  "^": ([a, b]) => a! ^ b!,
  sqrt: ([a]) => Math.sqrt(a!),
  exp: ([a]) => Math.exp(a!),
  log: ([a]) => Math.log(a!),
  sin: ([a]) => Math.sin(a!),
  cos: ([a]) => Math.cos(a!),
  pow: ([a, b]) => a! ** b!,
  floor: ([a]) => Math.floor(a!),
  ceil: ([a]) => Math.ceil(a!),
  abs: ([a]) => Math.abs(a!),
}

/** Gives weak operands the dtype of the typed one; all weak: folded when they are numbers, else still weak. */
function combine(
  args: readonly Value[],
  make: (xs: readonly Expression[]) => Expression,
  fold?: (xs: readonly number[]) => number,
): Value {
  const typed = args.find((a) => "typed" in a)
  if (typed !== undefined && "typed" in typed) {
    const { dtype } = typed.typed
    return { typed: make(args.map((a) => settle(a, dtype))) }
  }
  const numbers = args.map((a) => ("weak" in a ? a.number : undefined))
  if (fold !== undefined && numbers.every((n) => n !== undefined)) return weak(fold(numbers as number[]))
  return { weak: (dtype) => make(args.map((a) => settle(a, dtype))) }
}
