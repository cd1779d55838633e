/**
 * Operations of f32 that are several instructions: the remainder, angles by whole turns, and the vectors' minimum and maximum.
 *
 *   max(x, 0.5)    →  f32x4.pmax      one machine instruction, which keeps a NaN of its first operand
 *   max(x, y)      →  f32x4.max       eight of them, for NaN on either side and for −0 below 0
 *
 * What takes many instructions is done for one number at a time.
 */
import { isLiteral } from "../../ir/expression.js"
import type { Expression } from "../../ir/nodes.js"
import { plainAngles } from "../../ir/operations.js"
import { firstBit, turnWords } from "../angle.js"
import type { Code, ValueType } from "./encode.js"

export interface Context {
  readonly code: Code
  readonly local: (type: ValueType) => number
}

/** Pushes the minimum or maximum of two vectors, the parts of which `push` pushes. */
export function extremum(code: Code, name: "min" | "max", args: readonly Expression[], push: (x: Expression) => void) {
  const number = (x: Expression) => (x.kind === "splat" && isLiteral(x.of) ? x.of.value : Number.NaN)
  const [a, b] = args as [Expression, Expression]
  // A number that is none keeps its place; a literal goes second.
  const [first, second] = Number.isNaN(number(b)) && !Number.isNaN(number(a)) ? [b, a] : [a, b]
  const bound = number(second)
  const zero = bound === 0
  const signed = Object.is(bound, -0)
  push(first)
  push(second)
  if (Number.isNaN(bound) || (zero && name === "min" && signed)) code.op(name === "min" ? "f32x4.min" : "f32x4.max")
  else {
    code.op(name === "min" ? "f32x4.pmin" : "f32x4.pmax")
    // −0 has passed as the first operand; −0 + 0 is 0.
    if (zero && name === "max" && !signed) code.floats([0, 0, 0, 0]).op("f32x4.add")
  }
}

/** Quotients below this give exact products with a divisor in f64, and are themselves exact to less than a part of it. */
const largestQuotient = 2 ** 28

/** JavaScript's %: a − b · trunc(a / b) in f64, where it is exact; larger quotients are taken off in parts. The sign is that of a. */
export function remainder({ code, local }: Context, a: number, b: number): void {
  const [x, y, q, part] = [0, 1, 2, 3].map(() => local("f64")) as [number, number, number, number]
  code.get(a).op("f64.promote_f32", "f64.abs").set(x)
  code.get(b).op("f64.promote_f32", "f64.abs").set(y)
  code.get(x).get(y).op("f64.div", "f64.trunc").tee(q)
  code.double(largestQuotient).op("f64.lt").if()
  // A quotient of 0 leaves x, also below an infinite divisor.
  code.get(x).get(x).get(y).get(q).op("f64.mul", "f64.sub")
  code.get(q).double(0).op("f64.eq", "select").set(x)
  code.else()
  // 0 · (x + y) is NaN where one of them is no number; dividing by 0 gives no number either.
  code.get(x).get(x).op("f64.sub").get(y).op("f64.div").double(0).op("f64.eq").if()
  code.loop()
  code.get(y).set(part)
  code.loop()
  code.get(x).get(part).op("f64.div").double(largestQuotient).op("f64.ge").if()
  code.get(part).double(largestQuotient).op("f64.mul").set(part).branch(1).end()
  code.end()
  code.get(x).get(part).get(x).get(part).op("f64.div", "f64.trunc", "f64.mul", "f64.sub").set(x)
  code.get(part).get(y).op("f64.gt").branchIf(0)
  code.end()
  code.else()
  code.double(Number.NaN).set(x)
  code.end()
  code.end()
  code.get(x).get(a).op("f64.promote_f32", "f64.copysign", "f32.demote_f64")
}

/** 64 zeros, then the bits of 1/2π. */
const words = [0n, ...[0, 2, 4].map((i) => (BigInt(turnWords[i]!) << 32n) | BigInt(turnWords[i + 1]!))]

/** Pushes the angle in −π … π that is x modulo 2π; x is at least 2^17 in size. */
function reduced({ code, local }: Context, x: number): void {
  const bits = local("i32")
  const at = local("i32")
  code.get(x).op("i32.reinterpret_f32").tee(bits)
  code.integer(0x7fffffff).op("i32.and").integer(23).op("i32.shr_u").integer(firstBit(64)).op("i32.add").set(at)
  // The 64 bits from there on, in two words; shifts take their amount modulo 64.
  const word = (from: number) => {
    code.long(words[from]!)
    code
      .long(words[from + 1]!)
      .long(words[from + 2]!)
      .get(at)
      .integer(128)
      .op("i32.lt_u", "select")
    code.get(at).integer(64).op("i32.lt_u", "select")
  }
  word(0)
  code.get(at).op("i64.extend_i32_u", "i64.shl")
  word(1)
  code.long(1n).op("i64.shr_u").integer(63).get(at).op("i32.sub", "i64.extend_i32_u", "i64.shr_u", "i64.or")
  code.get(bits).integer(0x7fffff).op("i32.and").integer(0x800000).op("i32.or", "i64.extend_i32_u", "i64.mul")
  // What overflows are whole turns; the fraction is taken around 0.
  code
    .op("f64.convert_i64_s")
    .double((2 * Math.PI) / 2 ** 64)
    .op("f64.mul", "f32.demote_f64")
  code.op("i32.reinterpret_f32").get(bits).integer(-2147483648).op("i32.and", "i32.xor", "f32.reinterpret_i32")
  // x − x is 0 or NaN.
  code.get(x).get(x).op("f32.sub", "f32.add")
}

/** The angle of a number in a local, in place. */
export function reduceAngle(context: Context, x: number): void {
  const { code } = context
  code.get(x).op("f32.abs").float(plainAngles).op("f32.ge").if()
  reduced(context, x)
  code.set(x).end()
}

/** The angles of a vector in a local, in place: one test where all are small. */
export function reduceAngles(context: Context, v: number, lanes: number): void {
  const { code, local } = context
  code
    .get(v)
    .op("f32x4.abs")
    .floats([0, 1, 2, 3].map(() => plainAngles))
    .op("f32x4.ge", "v128.any_true")
    .if()
  const x = local("f32")
  for (let lane = 0; lane < lanes; lane++) {
    code.get(v).lane("f32x4.extract_lane", lane).set(x)
    reduceAngle(context, x)
    code.get(v).get(x).lane("f32x4.replace_lane", lane).set(v)
  }
  code.end()
}
