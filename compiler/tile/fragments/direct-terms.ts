/**
 * Terms: what is read straight into fragments, as sums of factors that stay as they are for a while and of what changes from element to element.
 *
 *   w[o, k] = scale[o, k / 32] · code[o, k] − minimum[o, k / 32], 32 k at a time   →   scale · (128 + code)  +  (−128 · scale − minimum) · 1
 *
 * Only what changes is rounded and multiplied; a factor that is the same for all elements of a stretch is applied to the sum of their products. An integer
 * below 128 is the last bits of a half with 7 of them, 128 + n: no conversion, and what that adds is one more factor of 1.
 */
import { add, apply, isLiteral, literal, mul, rewrite, substitute, variable } from "../../ir/expression.js"
import type { Kernel } from "../../ir/kernel.js"
import { bufferOf } from "../../ir/kernel.js"
import { divided } from "../../ir/linear.js"
import type { Expression } from "../../ir/nodes.js"

/** `factor` · `value`: a factor of none is 1 for all elements. */
export interface Term {
  readonly factor: Expression
  readonly value: Expression
}

export const one = literal(1, "f32")
const times = (x: Expression, y: Expression) => (x === one ? y : y === one ? x : mul(x, y))

/** Quotients and remainders that the form of what is divided shows. */
export const simplified = (x: Expression): Expression =>
  rewrite(x, (y, again) => {
    if (y.kind !== "operation" || (y.operation !== "floordiv" && y.operation !== "floormod")) return undefined
    const by = y.args[1]!
    if (y.dtype !== "i32" || !isLiteral(by)) return undefined
    const of = again(y.args[0]!)
    const parts = divided(of, by.value)
    if (parts === undefined) return apply(y.operation, of, by)
    return y.operation === "floordiv" ? parts.quotient : literal(parts.rest)
  })

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
    if (even(x)) return note(times(factor, x), one)
    const [p, q] = x.kind === "operation" ? x.args : []
    switch (x.kind === "operation" ? x.operation : undefined) {
      case "add":
        visit(p!, factor)
        return visit(q!, factor)
      case "sub":
        visit(p!, factor)
        return visit(q!, apply("neg", factor))
      case "neg":
        return visit(p!, apply("neg", factor))
      case "mul":
        if (even(p!)) return visit(q!, times(factor, p!))
        if (even(q!)) return visit(p!, times(factor, q!))
        return note(factor, x)
      case "toF32": {
        const shifted = shiftedOf(p!)
        if (shifted === undefined) return note(factor, x)
        note(factor, shifted)
        return note(times(literal(-128, "f32"), factor), one)
      }
      default:
        return note(factor, x)
    }
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

/** What an integer is at most, as its last operation shows. */
function mostOf(x: Expression): number {
  if (x.kind !== "operation") return Number.POSITIVE_INFINITY
  const [p, q] = x.args
  if (x.operation === "bitand" && isLiteral(q!)) return q.value
  if (x.operation === "shl" && isLiteral(q!)) return mostOf(p!) * 2 ** q.value
  if (x.operation === "bitor") {
    // Bits side by side.
    const [a, b] = [mostOf(p!), mostOf(q!)]
    return 2 ** Math.max(Math.ceil(Math.log2(a + 1)), Math.ceil(Math.log2(b + 1))) - 1
  }
  return Number.POSITIVE_INFINITY
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

/** Whether bf16 holds each value as it is. */
export function isHeldByHalves(x: Expression, kernel: Kernel): boolean {
  const held = (y: Expression) => isHeldByHalves(y, kernel)
  if (isLiteral(x)) return x.dtype === "f32" && halfOf(x.value) === x.value
  if (x.kind === "load") return x.dtype === "f32" && bufferOf(kernel, x.buffer).storage === "bf16"
  if (x.kind !== "operation") return false
  const [p, q] = x.args
  switch (x.operation) {
    case "neg":
    case "abs":
      return held(p!)
    case "select":
      return x.args.slice(1).every(held)
    case "mul":
      return isLiteral(q!) && Number.isInteger(Math.log2(Math.abs(q.value))) && held(p!)
    case "toF32":
      return mostOf(p!) <= 256 || isSignedByte(p!)
    case "fromBits":
      return endsInZeros(p!)
    default:
      return false
  }
}

/** A number with the bits alone that a bf16 has. */
function halfOf(x: number): number {
  const bits = new DataView(new ArrayBuffer(4))
  bits.setFloat32(0, x)
  bits.setUint16(2, 0)
  return bits.getFloat32(0)
}

/** i32(word << 24 − 8 i) >> 24. */
const isSignedByte = (x: Expression): boolean =>
  x.kind === "operation" && x.operation === "shr" && x.dtype === "i32" && isLiteral(x.args[1]!) && x.args[1].value >= 24

/** Whether the last 16 bits are zeros. */
export function endsInZeros(x: Expression): boolean {
  if (isLiteral(x)) return x.dtype === "u32" && x.value % 65536 === 0
  if (x.kind !== "operation" || x.dtype !== "u32") return false
  const [p, q] = x.args
  switch (x.operation) {
    case "shl":
      return isLiteral(q!) && q.value >= 16 && q.value < 32
    case "bitand":
      return endsInZeros(p!) || endsInZeros(q!)
    case "bitor":
    case "add":
      return endsInZeros(p!) && endsInZeros(q!)
    default:
      return false
  }
}
