/**
 * Terms: what is read straight into fragments, as sums of factors that stay as they are for a while and of what changes from element to element.
 *
 *   w[o, k] = scale[o, k / 32] · code[o, k] − minimum[o, k / 32], 32 k at a time   →   scale · (128 + code)  +  (−128 · scale − minimum) · 1
 *
 * Only what changes is rounded and multiplied; a factor that is the same for all elements of a stretch is applied to the sum of their products. An integer
 * below 128 is the last bits of a half with 7 of them, 128 + n: no conversion, and what that adds is one more factor of 1.
 */
import { add, apply, isLiteral, literal, mul, rewrite, substitute, variable } from "../../../ir/expression.js"
import { mostOf } from "../../../ir/fragments/held.js"
import { divided, linear } from "../../../ir/linear.js"
import type { Expression } from "../../../ir/nodes.js"
import { fromE4m3 } from "../../../ir/tensor/formats.js"

/** `factor` · `value`: a factor of none is 1 for all elements. */
export interface Term {
  readonly factor: Expression
  readonly value: Expression
}

export const one = literal(1, "f32")
const times = (x: Expression, y: Expression) => (x === one ? y : y === one ? x : mul(x, y))

/**
 * Quotients and remainders that the form of what is divided shows.
 *
 *   (32 s + 5) / 8   →   4 s         (32 s + 5) / 256   →   s / 8         (32 s + 5) mod 256   →   32 (s mod 8) + 5
 */
export const simplified = (x: Expression): Expression =>
  rewrite(x, (y, again) => {
    if (y.kind !== "operation" || (y.operation !== "floordiv" && y.operation !== "floormod")) return undefined
    const by = y.args[1]!
    if (y.dtype !== "i32" || !isLiteral(by)) return undefined
    const of = again(y.args[0]!)
    // What all terms and the divisor are multiples of.
    const common = [...linear(of).terms.values()].reduce((g, c) => divisorOf(g, c), by.value)
    const { quotient, rest } = divided(of, common)!
    if (common === 1) return apply(y.operation, of, by)
    const inner = apply(y.operation, quotient, literal(by.value / common))
    return y.operation === "floordiv" ? inner : add(mul(inner, literal(common)), literal(rest))
  })

const divisorOf = (a: number, b: number): number => (b === 0 ? Math.abs(a) : divisorOf(b, a % b))

/** The value at element number `at` of a stretch of `size` that begins at a multiple of it. */
export const elementAt = (value: Expression, axis: string, stretch: Expression, size: number, at: number): Expression =>
  simplified(substitute(value, new Map([[axis, add(mul(stretch, literal(size)), literal(at))]])))

const anyStretch = variable("stretch of any number")

/** Whether a value is the same for all elements of every stretch of so many along an axis. */
export function isEven(value: Expression, axis: string, size: number): boolean {
  const first = elementAt(value, axis, anyStretch, size, 0)
  for (let j = 1; j < size; j++) if (elementAt(value, axis, anyStretch, size, j) !== first) return false
  return true
}

/** The terms of a value over stretches of so many elements of an axis. */
export function termsOfValue(value: Expression, axis: string, size: number): readonly Term[] {
  const even = (x: Expression) => isEven(x, axis, size)
  const all = new Map<Expression, Expression>()
  const note = (factor: Expression, of: Expression) => {
    const before = all.get(of)
    all.set(of, before === undefined ? factor : add(before, factor))
  }
  const visit = (x: Expression, factor: Expression): void => {
    const [p, q] = x.kind === "operation" ? x.args : []
    const operation = x.kind === "operation" ? x.operation : undefined
    const byBits = operation === "toF32" ? signedByte(p!) : operation === "select" ? eightBits(x) : undefined
    const shifted = operation === "toF32" ? shiftedOf(p!) : undefined
    if (even(x)) note(times(factor, x), one)
    else if (operation === "add" || operation === "sub") {
      visit(p!, factor)
      visit(q!, operation === "add" ? factor : apply("neg", factor))
    } else if (operation === "neg") visit(p!, apply("neg", factor))
    else if (operation === "mul" && even(p!)) visit(q!, times(factor, p!))
    else if (operation === "mul" && even(q!)) visit(p!, times(factor, q!))
    else if (byBits !== undefined) note(factor, byBits)
    else if (shifted !== undefined) {
      note(factor, shifted)
      note(times(literal(-128, "f32"), factor), one)
    } else note(factor, x)
  }
  visit(joined(value), one)
  return [...all].map(([of, factor]) => ({ factor, value: of }))
}

/** 128 + x of an integer below 128, as the bits of a half. */
function shiftedOf(x: Expression): Expression | undefined {
  if (x.dtype !== "u32" || mostOf(x) >= 128) return undefined
  const bits = apply("bitor", apply("shl", x, literal(16, "u32")), literal(0x43000000, "u32"))
  return apply("fromBits", bits)
}

const u32 = (x: number) => literal(x, "u32")
const upper = (x: Expression) => apply("fromBits", apply("bitor", apply("shl", x, u32(16)), u32(0x43000000)))

/** A byte with a sign as (128 + its last 7 bits) − (128 + its first one): both are bits of halves. */
function signedByte(x: Expression): Expression | undefined {
  if (x.kind !== "operation" || x.operation !== "shr" || x.dtype !== "i32") return undefined
  const [high, by] = x.args as [Expression, Expression]
  const moved = high.kind === "operation" && high.operation === "toI32" ? high.args[0]! : undefined
  if (moved?.kind !== "operation" || moved.operation !== "shl" || !isLiteral(by) || by.value !== 24) return undefined
  const byte = apply("shr", moved.args[0]!, apply("sub", u32(24), moved.args[1]!))
  return apply("sub", upper(apply("bitand", byte, u32(0x7f))), upper(apply("bitand", byte, u32(0x80))))
}

/** A number of 8 bits, 4 of them its exponent: those bits among a half's, where exponents begin 120 lower. */
function eightBits(x: Expression): Expression | undefined {
  const isSmall = x.kind === "operation" ? x.args[0] : undefined
  const code = isSmall?.kind === "operation" && isSmall.operation === "lt" ? isSmall.args[0]! : undefined
  if (code?.kind !== "operation" || code.operation !== "bitand" || code.dtype !== "u32" || fromE4m3(code) !== x)
    return undefined
  const [field, mask] = code.args as [Expression, Expression]
  if (!isLiteral(mask) || mask.value !== 0xff) return undefined
  const part = (bits: number, to: number) => apply("shl", apply("bitand", field, u32(bits)), u32(to))
  return mul(apply("fromBits", apply("bitor", part(0x80, 24), part(0x7f, 20))), literal(2 ** 120, "f32"))
}

/** f32(a) + f32(b) · 16, where a has 4 bits   →   f32(a | b << 4). */
const joined = (value: Expression): Expression =>
  rewrite(value, (x, again) => {
    if (x.kind !== "operation" || x.operation !== "add") return undefined
    const [p, q] = x.args.map(again) as [Expression, Expression]
    const low = integerOf(p)
    const high = q.kind === "operation" && q.operation === "mul" ? integerOf(q.args[0]!) : undefined
    const by = q.kind === "operation" && q.operation === "mul" ? q.args[1]! : undefined
    if (low === undefined || high === undefined || by === undefined || !isLiteral(by)) return add(p, q)
    const place = Math.log2(by.value)
    if (!Number.isInteger(place) || mostOf(low) >= by.value || mostOf(high) * by.value >= 2 ** 24) return add(p, q)
    return apply("toF32", apply("bitor", low, apply("shl", high, literal(place, "u32"))))
  })

const integerOf = (x: Expression): Expression | undefined =>
  x.kind === "operation" && x.operation === "toF32" && x.args[0]!.dtype === "u32" ? x.args[0] : undefined
