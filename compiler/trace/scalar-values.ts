/**
 * The types of scalar functions: what each operation makes of values whose types are known, and of numbers whose types are not.
 *
 *   i + 1            i: i32                →  (i + 1)          the literal takes the type of what it meets
 *   c ? 1 : 0        nothing typed         →  weak: i32, u32 or f32, as whoever uses it claims
 *   Math.trunc(a/b)  a, b: i32             →  integer division
 *   a / b            a, b: i32             →  refused, for JavaScript's quotient is no integer
 *
 * The rule behind all of it: an operation computes what JavaScript computes, and its result is stored in an array of its type (Float32Array,
 * Int32Array, Uint32Array). What would not be that is refused with a sentence that says what to write. The table stands in dsl/README.md.
 */
import type { ScalarOperation } from "../../dsl/attach.js"
import { apply, literal, TypeProblem } from "../ir/expression.js"
import type { Expression } from "../ir/nodes.js"
import { type DType, type Operation, roundTo } from "../ir/operations.js"
import { folded } from "./scalar-numbers.js"

/**
 * A typed expression; a weak one, which is a function from the type that is asked for and perhaps a number; or the quotient of two integers,
 * which waits for what makes it an integer.
 */
export type Value =
  | { readonly typed: Expression }
  | { readonly weak: (dtype: DType) => Expression; readonly number?: number }
  | { readonly quotient: readonly [Expression, Expression]; readonly refuse: () => never }

/** A value in a place that it does not fit, and what to write. */
export class Misfit extends TypeProblem {
  readonly hint: string
  constructor(message: string, hint: string) {
    super(message)
    this.hint = hint
  }
}

const convert = "convert one side with toF32, toI32 or toU32"

/** `v` as an expression, of `dtype` where it has no type of its own. */
export function settle(v: Value, dtype: DType): Expression {
  if ("typed" in v) return v.typed
  return "weak" in v ? v.weak(dtype) : v.refuse()
}

const limits = { i32: [-(2 ** 31), 2 ** 31 - 1], u32: [0, 2 ** 32 - 1] } as const

/** A number that takes the type of what it meets. */
export function weak(value: number): Value {
  return {
    number: value,
    weak: (dtype) => {
      if (dtype === "bool")
        throw new Misfit(`${value} is a number where a boolean is needed`, "compare it with `!== 0`")
      if (dtype === "f32") return float(value)
      if (!Number.isInteger(value))
        throw new Misfit(
          `${value} is not an integer, but meets ${dtype}`,
          'convert the other side with toF32, or name the type of the result: mapTo("f32", …)',
        )
      const [least, most] = limits[dtype]
      if (value < least || value > most)
        throw new Misfit(
          `${value} is outside of ${dtype}, which goes from ${least} to ${most}`,
          `write ${roundTo(dtype, value)} if these bits are meant, or convert with toF32`,
        )
      return literal(value, dtype)
    },
  }
}

function float(value: number): Expression {
  if (Number.isFinite(value) && !Number.isFinite(Math.fround(value)))
    throw new Misfit(`${value} is infinite as an f32`, "write `Infinity`, or the largest f32 number, 3.4028235e38")
  return literal(value, "f32")
}

export const truth = (value: boolean): Value => ({ typed: literal(value ? 1 : 0, "bool") })

/** Operations whose integers are bits: a number that fits 32 bits of either sign is taken modulo 2^32, as JavaScript does. */
const modular: ReadonlySet<ScalarOperation> = new Set(["+", "-", "*", "imul", "&", "|", "^", "~", "<<", ">>", ">>>"])
const bitwise: ReadonlySet<ScalarOperation> = new Set(["imul", "&", "|", "^", "~", "<<", ">>", ">>>"])
const comparisons: Partial<Record<ScalarOperation, Operation>> = {
  "<": "lt",
  "<=": "le",
  ">": "gt",
  ">=": "ge",
  "===": "eq",
  "!==": "ne",
}
const logical: Partial<Record<ScalarOperation, Operation>> = { "&&": "and", "||": "or", "!": "not" }
const roundings: ReadonlySet<ScalarOperation> = new Set(["trunc", "floor", "ceil", "round"])

/** How a scalar operation is written, for messages. */
const spelling = (operation: ScalarOperation) => (/^\w/.test(operation) ? `Math.${operation}` : `\`${operation}\``)

/** The value of an operation. `place` runs what may throw a `Misfit` at the operation's own place. */
export function operate(
  operation: ScalarOperation,
  args: readonly Value[],
  place: (fail: () => never) => never,
): Value {
  const numbers = args.map((v) => ("weak" in v ? v.number : undefined))
  const known = numbers.every((n) => n !== undefined) ? folded(operation, numbers as number[]) : undefined
  if (known !== undefined) return typeof known === "number" ? weak(known) : truth(known)

  const pending = args.find((v) => "quotient" in v)
  if (pending !== undefined && "quotient" in pending) {
    const whole = wholeQuotient(operation, pending.quotient, args)
    return whole === undefined ? pending.refuse() : { typed: whole }
  }

  const own = args.slice(operation === "select" ? 1 : 0).find((v) => "typed" in v)
  const dtype = own !== undefined && "typed" in own ? own.typed.dtype : undefined
  const at = (wanted: DType) =>
    args.map((v) =>
      modular.has(operation) && "weak" in v && v.number !== undefined && (wanted === "i32" || wanted === "u32")
        ? bitsOf(v.number, wanted)
        : settle(v, wanted),
    )

  if (operation in comparisons) return { typed: apply(comparisons[operation]!, ...at(dtype ?? "f32")) }
  if (operation in logical) return { typed: apply(logical[operation]!, ...at("bool")) }
  if (operation === "isNaN" || operation === "isFinite" || operation === "isInteger")
    return { typed: tested(operation, at(dtype ?? "f32")[0]!) }
  switch (operation) {
    case "bits":
      return { typed: apply("bits", settle(args[0]!, "f32")) }
    case "fromBits":
      return { typed: apply("fromBits", settle(args[0]!, "u32")) }
    case "toF32":
    case "toI32":
    case "toU32":
      return { typed: converted(operation, args[0]!) }
    case "select": {
      const condition = settle(args[0]!, "bool")
      const branches = (wanted: DType) => args.slice(1).map((v) => settle(v, wanted))
      const made = (wanted: DType) => apply("select", condition, ...branches(wanted))
      return dtype === undefined ? { weak: made } : { typed: made(dtype) }
    }
    case "min":
    case "max":
      if (args.length > 2) {
        const rest = operate(operation, args.slice(0, -1), place)
        return operate(operation, [rest, args.at(-1)!], place)
      }
      break
    case "/":
      if (dtype === "i32" || dtype === "u32") {
        const [a, b] = at(dtype) as [Expression, Expression]
        return { quotient: [a, b], refuse: () => place(() => refuseQuotient(dtype)) }
      }
  }
  if (bitwise.has(operation) && dtype === undefined) return { typed: arithmetic(operation, at("i32")) }
  if (dtype !== undefined) return { typed: arithmetic(operation, at(dtype)) }
  return { weak: (wanted) => arithmetic(operation, at(wanted)) }
}

function refuseQuotient(dtype: DType): never {
  throw new Misfit(
    `the quotient of two ${dtype} is no integer in JavaScript`,
    "write Math.trunc(a / b) for its whole part, or toF32(a) / toF32(b)",
  )
}

/** A number as the 32 bits that JavaScript's operators on integers see. */
function bitsOf(value: number, dtype: "i32" | "u32"): Expression {
  const fits = Number.isInteger(value) && value >= limits.i32[0] && value <= limits.u32[1]
  return fits ? literal(roundTo(dtype, value), dtype) : settle(weak(value), dtype)
}

/** An operation on arguments of one type. */
function arithmetic(operation: ScalarOperation, args: readonly Expression[]): Expression {
  const [a, b] = args as [Expression, Expression]
  const { dtype } = a
  const integer = dtype === "i32" || dtype === "u32"
  if (bitwise.has(operation)) {
    if (dtype === "f32" || b?.dtype === "f32")
      throw new Misfit(
        `${spelling(operation)} is for integers, and this is an f32`,
        "toI32(x) is its whole part; bits(x) are its 32 bits, as u32",
      )
    return bitOperation(operation, args)
  }
  if (roundings.has(operation) && integer) return a
  switch (operation) {
    case "negate":
      return dtype === "u32" ? apply("sub", literal(0, "u32"), a) : apply("neg", a)
    case "abs":
      return dtype === "u32" ? a : apply("abs", a)
    case "sign":
      return dtype === "u32" ? apply("min", a, literal(1, "u32")) : apply("sign", a)
    case "round":
      return roundedHalfUp(a)
    case "/":
      return integer ? refuseQuotient(dtype) : apply("div", a, b)
    default: {
      const name = direct[operation]
      if (name === undefined) throw new TypeProblem(`${spelling(operation)} has no value here`)
      if (floating.has(operation) && integer)
        throw new Misfit(
          `${operation === "pow" ? "`**`" : spelling(operation)} is for f32, and this is ${dtype}`,
          "convert it inside: toF32(x)",
        )
      if (b !== undefined && b.dtype !== dtype)
        throw new Misfit(`${spelling(operation)} got ${dtype} and ${b.dtype}; both must be alike`, convert)
      return apply(name, ...args)
    }
  }
}

const direct: Partial<Record<ScalarOperation, Operation>> = {
  "+": "add",
  "-": "sub",
  "*": "mul",
  "%": "rem",
  floor: "floor",
  ceil: "ceil",
  trunc: "trunc",
  sqrt: "sqrt",
  exp: "exp",
  log: "log",
  sin: "sin",
  cos: "cos",
  tanh: "tanh",
  pow: "pow",
  min: "min",
  max: "max",
}
const floating: ReadonlySet<ScalarOperation> = new Set(["sqrt", "exp", "log", "sin", "cos", "tanh", "pow"])

/**
 * The nearest integer, halves up, as `Math.round`: x − ⌊x⌋ is exact wherever it decides, and for what has no fraction (large numbers, ∞, NaN)
 * both branches are x. ⌈−0.3⌉ is −0.
 */
function roundedHalfUp(x: Expression): Expression {
  const floor = apply("floor", x)
  const up = apply("ge", apply("sub", x, floor), literal(0.5, "f32"))
  return apply("select", up, apply("ceil", x), floor)
}

/** JavaScript's operators on 32 bits. `>>` is arithmetic whatever the type, for it sees signed numbers; the result of `>>>` is unsigned. */
function bitOperation(operation: ScalarOperation, args: readonly Expression[]): Expression {
  const [a, b] = args as [Expression, Expression]
  const names: Partial<Record<ScalarOperation, Operation>> = {
    imul: "mul",
    "&": "bitand",
    "|": "bitor",
    "^": "bitxor",
    "~": "bitnot",
    "<<": "shl",
  }
  if (operation === ">>" && a.dtype === "u32") return apply("toU32", apply("shr", apply("toI32", a), apply("toI32", b)))
  if (operation === ">>") return apply("shr", a, b)
  if (operation !== ">>>") return apply(names[operation]!, ...args)
  if (a.dtype === "u32") return apply("shr", a, b)
  const shifted = apply("shr", apply("toU32", a), apply("toU32", b))
  // By one bit or more the result is below 2^31: the same number as i32, which spares the author a conversion.
  return b.kind === "literal" && (b.value & 31) !== 0 ? apply("toI32", shifted) : shifted
}

/** NaN and infinities by their bits: a shader compiler may take for granted that there are none. */
function tested(operation: "isNaN" | "isFinite" | "isInteger", x: Expression): Expression {
  if (x.dtype !== "f32") return literal(operation === "isNaN" ? 0 : 1, "bool")
  if (operation === "isNaN") return apply("isNaN", x)
  const bits = apply("bits", x)
  const infinite = literal(0x7f800000, "u32")
  const finite = apply("ne", apply("bitand", bits, infinite), infinite)
  return operation === "isFinite" ? finite : apply("and", finite, apply("eq", apply("floor", x), x))
}

/** toF32, toI32 and toU32. A number is converted here; what is weak is an integer where it can be one. */
function converted(operation: "toF32" | "toI32" | "toU32", v: Value): Expression {
  const to: DType = operation === "toF32" ? "f32" : operation === "toI32" ? "i32" : "u32"
  if ("typed" in v) return v.typed.dtype === to ? v.typed : apply(operation, v.typed)
  if (to === "f32" || !("weak" in v)) return settle(v, "f32")
  if (v.number !== undefined && !Number.isFinite(v.number)) return apply(operation, v.weak("f32"))
  if (v.number !== undefined) return settle(weak(Math.trunc(v.number)), to)
  try {
    return v.weak(to)
  } catch (error) {
    if (!(error instanceof Misfit)) throw error
    return apply(operation, v.weak("f32"))
  }
}

/** The integer that `operation` makes of the quotient a / b, or undefined when it makes none. What has no quotient (b = 0) is stored as 0. */
function wholeQuotient(
  operation: ScalarOperation,
  [a, b]: readonly [Expression, Expression],
  args: readonly Value[],
): Expression | undefined {
  const zero = literal(0, a.dtype)
  const whole = apply("select", apply("eq", b, zero), zero, apply("div", a, b))
  const other = args[1]
  const byZero = "quotient" in args[0]! && other !== undefined && "weak" in other && other.number === 0
  switch (operation) {
    case "trunc":
      return whole
    case "floor":
    case "ceil": {
      const up = operation === "ceil"
      const rest = apply("rem", a, b)
      const one = literal(1, a.dtype)
      if (a.dtype === "u32")
        return up ? apply("select", apply("ne", rest, zero), apply("add", whole, one), whole) : whole
      const negative = (x: Expression) => apply("lt", x, zero)
      const beyond =
        b.kind === "literal" && b.value > 0
          ? apply(up ? "gt" : "lt", rest, zero)
          : apply("and", apply("ne", rest, zero), apply(up ? "eq" : "ne", negative(rest), negative(b)))
      return apply("select", beyond, apply(up ? "add" : "sub", whole, one), whole)
    }
    case "|":
      return byZero ? whole : undefined
    case ">>>":
      return byZero ? (a.dtype === "u32" ? whole : apply("toU32", whole)) : undefined
    case "~":
      return apply("bitnot", whole)
    default:
      return undefined
  }
}
