/**
 * Operations that a target lacks, written as expressions over those that it has.
 *
 *   expand(sin(x), new Set(["sin"]))  →  select(odd quadrant, cosine polynomial, sine polynomial) · sign
 *
 * Expansions are ordinary expressions, so that they work at every width, share subexpressions (sin and cos of one angle reduce it once) and
 * are interpreted as they are printed. `apply` splats the literals where operands are vectors.
 *
 * Accuracy (f32 arithmetic; a target may fuse multiplications and additions):
 * - exp, exp2, log: 2 ulp; exp underflows gradually to 0 and overflows to +∞ above 88.73; log(0) = −∞, log of a negative number is NaN.
 * - sin, cos: absolute error below 1e-6 for every finite x; what is above 2^17 becomes an angle below π first (angle.ts).
 * - tanh: 3 ulp. pow: 2 ulp over all finite results.
 * - pow is JavaScript's at special values: pow(x, 0) = 1 for every x, pow(±1, ±∞) and pow(1, NaN) are NaN, a negative base takes the sign of an
 *   odd integer exponent and is NaN for a fractional one.
 * - half, dot2: exact.
 *
 * NaN gives NaN without a test for it: bounds are max(min(x, high), low) with x first, which targets print so that NaN passes.
 */
import { fault } from "../../runtime/errors.js"
import { apply, literal, rewrite } from "../ir/expression.js"
import type { Expression } from "../ir/nodes.js"
import type { Operation } from "../ir/operations.js"

/** Makes an operation, expanded itself if the target lacks it. */
type Make = (name: Operation, ...args: Expression[]) => Expression
type Recipe = (make: Make, ...args: Expression[]) => Expression

const f = (x: number) => literal(x, "f32")
const i = (x: number) => literal(x, "i32")
const u = (x: number) => literal(x, "u32")

/** Horner's scheme; coefficients from the highest power down. */
function polynomial(make: Make, x: Expression, coefficients: readonly number[]): Expression {
  const [first, ...rest] = coefficients
  return rest.reduce<Expression>((sum, c) => make("add", make("mul", sum, x), f(c)), f(first!))
}

/** 2^n for an i32 in −126 … 127. */
const powerOfTwo = (make: Make, n: Expression) =>
  make("fromBits", make("shl", make("toU32", make("add", n, i(127))), u(23)))

/** x · 2^n for |n| ≤ 250 in two steps, so that subnormal results and overflow come out right. */
function scale(make: Make, x: Expression, n: Expression): Expression {
  const half = make("shr", n, i(1))
  return make("mul", make("mul", x, powerOfTwo(make, half)), powerOfTwo(make, make("sub", n, half)))
}

const exp: Recipe = (make, x) => {
  const clamped = make("max", make("min", x!, f(89)), f(-104))
  const n = make("round", make("mul", clamped, f(Math.LOG2E)))
  const r = make("sub", make("sub", clamped, make("mul", n, f(0.693359375))), make("mul", n, f(-2.1219444e-4)))
  return exponential(make, r, n)
}

const exp2: Recipe = (make, x) => {
  const clamped = make("max", make("min", x!, f(129)), f(-150))
  const n = make("round", clamped)
  return exponential(make, make("mul", make("sub", clamped, n), f(Math.LN2)), n)
}

/** exp on |r| ≤ ln 2 / 2 (Cephes expf), then · 2^n. */
function exponential(make: Make, r: Expression, n: Expression): Expression {
  const p = polynomial(
    make,
    r,
    [1.98756915e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1],
  )
  const y = make("add", make("add", make("mul", make("mul", r, r), p), r), f(1))
  return scale(make, y, smallInteger(make, n))
}

/** An integer of at most 2^22 in size, which needs no conversion: where the last bit of a float counts ones, it is in the low bits. */
const smallInteger = (make: Make, n: Expression) =>
  make("toI32", make("sub", make("bits", make("add", n, f(1.5 * 2 ** 23))), u(0x4b400000)))

/** x = m · 2^e with m in [√½, √2); positive x, subnormal ones too. */
function splitExponent(make: Make, x: Expression): { m: Expression; e: Expression } {
  const small = make("lt", x, f(1.1754943508222875e-38))
  const bits = make("bits", make("select", small, make("mul", x, f(2 ** 24)), x))
  const shifted = make("add", bits, u(0x3f800000 - 0x3f3504f3)) // √½ moves to 1
  const e = make("sub", make("toI32", make("shr", shifted, u(23))), make("select", small, i(127 + 24), i(127)))
  const m = make("fromBits", make("add", make("bitand", shifted, u(0x7fffff)), u(0x3f3504f3)))
  return { m, e }
}

/** Cephes logf. */
const log: Recipe = (make, x) => {
  const { m, e } = splitExponent(make, x!)
  const n = make("toF32", e)
  const t = make("sub", m, f(1))
  const z = make("mul", t, t)
  const p = polynomial(
    make,
    t,
    [
      7.0376836292e-2, -1.151461031e-1, 1.167699874e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1,
      2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
    ],
  )
  const low = make(
    "sub",
    make("add", make("mul", make("mul", p, t), z), make("mul", n, f(-2.1219444e-4))),
    make("mul", z, f(0.5)),
  )
  const y = make("add", make("add", low, t), make("mul", n, f(0.693359375)))
  const special = make("select", make("eq", x!, f(0)), f(Number.NEGATIVE_INFINITY), f(Number.NaN))
  return make("select", make("gt", x!, f(3.4028234663852886e38)), x!, make("select", make("gt", x!, f(0)), y, special))
}

/** π/2 in three parts of at most 8 bits and a rest: q · part is exact for q < 2^16.4, that is |x| ≤ 2^17. */
const quarterTurns: readonly number[] = split(Math.PI / 2, [2 ** -7, 2 ** -18, 2 ** -25])

function split(x: number, grids: readonly number[]): number[] {
  let rest = x
  const parts = grids.map((grid) => {
    const part = Math.trunc(rest / grid) * grid
    rest -= part
    return part
  })
  return [...parts, rest]
}

/** The sine of x + quarter · π/2, with Cody and Waite's range reduction for what is below 2^17. */
function sine(make: Make, given: Expression, quarter: number): Expression {
  const x = make("angle", given)
  const q = make("round", make("mul", x, f(2 / Math.PI)))
  const r = quarterTurns.reduce<Expression>((rest, part) => make("sub", rest, make("mul", q, f(part))), x)
  const z = make("mul", r, r)
  const s = make(
    "add",
    make("mul", make("mul", polynomial(make, z, [-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1]), z), r),
    r,
  )
  const c4 = polynomial(make, z, [2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2])
  const c = make("add", make("sub", make("mul", make("mul", c4, z), z), make("mul", z, f(0.5))), f(1))
  const quadrant = make("add", make("toI32", q), i(quarter))
  const value = make("select", make("ne", make("bitand", quadrant, i(1)), i(0)), c, s)
  return make("select", make("ne", make("bitand", quadrant, i(2)), i(0)), make("neg", value), value)
}

/** Odd polynomial near 0 (Cephes tanhf), else 1 − 2 / (exp(2|x|) + 1). */
const tanh: Recipe = (make, x) => {
  const a = make("abs", x!)
  const z = make("mul", x!, x!)
  const p = polynomial(
    make,
    z,
    [-5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1],
  )
  // A product with x keeps the sign of 0.
  const near = make("mul", make("add", make("mul", p, z), f(1)), x!)
  const far = make("sub", f(1), make("div", f(2), make("add", make("exp", make("mul", f(2), a)), f(1))))
  return make("select", make("lt", a, f(0.625)), near, make("select", make("lt", x!, f(0)), make("neg", far), far))
}

/** The leading bits of a float: products of two such are exact. */
const leading = (make: Make, x: Expression, mask = 0xfffff000) =>
  make("fromBits", make("bitand", make("bits", x), u(mask)))

/**
 * 2^(y · log2 |x|) with both logarithm and product carried in two floats (after FreeBSD's e_powf.c, without its second interval: here the mantissa
 * lies in [√½, √2), so log2 m = 2/ln 2 · atanh((m − 1) / (m + 1))).
 */
const pow: Recipe = (make, x, y) => {
  const magnitude = power(make, make("abs", x!), y!)
  const integral = make("eq", make("floor", y!), y!)
  const half = make("mul", y!, f(0.5))
  const odd = make("and", integral, make("ne", make("floor", half), half))
  const infinite = f(Number.POSITIVE_INFINITY)
  const size = make("abs", x!)
  // 0 and ∞ to a power are 0 or ∞, by the signs of their logarithm and of the exponent; so is what an infinite exponent is applied to.
  const grows = make("eq", make("gt", size, f(1)), make("gt", y!, f(0)))
  const extreme = make(
    "or",
    make("eq", make("abs", y!), infinite),
    make("or", make("eq", size, f(0)), make("eq", size, infinite)),
  )
  const positive = make("select", extreme, make("select", grows, infinite, f(0)), magnitude)
  const signBit = make("bitand", make("bits", x!), make("select", odd, u(0x80000000), u(0)))
  const signed = make("fromBits", make("bitor", make("bits", positive), signBit))
  const undefinedHere = make(
    "or",
    make("and", make("lt", x!, f(0)), make("and", make("not", integral), make("lt", size, infinite))),
    make("and", make("eq", size, f(1)), make("eq", make("abs", y!), infinite)),
  )
  const isNumber = make("not", make("or", make("isNaN", x!), make("isNaN", y!)))
  const value = make("select", make("and", isNumber, make("not", undefinedHere)), signed, f(Number.NaN))
  return make("select", make("eq", y!, f(0)), f(1), value)
}

function power(make: Make, x: Expression, y: Expression): Expression {
  const { m, e } = splitExponent(make, x)
  const n = make("toF32", e)
  // s = (m − 1) / (m + 1) = sh + sl
  const top = make("sub", m, f(1))
  const inverse = make("div", f(1), make("add", m, f(1)))
  const s = make("mul", top, inverse)
  const sh = leading(make, s)
  const th = leading(make, make("add", m, f(1)))
  const tl = make("sub", m, make("sub", th, f(1)))
  const sl = make("mul", inverse, make("sub", make("sub", top, make("mul", sh, th)), make("mul", sh, tl)))
  // 3/2 · ln m = s · (3 + s² + r)
  const s2 = make("mul", s, s)
  const series = polynomial(
    make,
    s2,
    [2.0697501302e-1, 2.3066075146e-1, 2.7272811532e-1, 3.3333334327e-1, 4.2857143283e-1, 6.0000002384e-1],
  )
  const r = make("add", make("mul", make("mul", s2, s2), series), make("mul", sl, make("add", sh, s)))
  const sh2 = make("mul", sh, sh)
  const ch = leading(make, make("add", make("add", f(3), sh2), r))
  const cl = make("sub", r, make("sub", make("sub", ch, f(3)), sh2))
  const major = make("mul", sh, ch)
  const minor = make("add", make("mul", sl, ch), make("mul", cl, s))
  const ph = leading(make, make("add", major, minor))
  const pl = make("sub", minor, make("sub", ph, major))
  // log2 |x| = e + 2 / (3 ln 2) · p = h + l
  const zh = make("mul", f(9.619140625e-1), ph)
  const zl = make("add", make("mul", f(-1.1736857402e-4), ph), make("mul", pl, f(9.6179670095e-1)))
  const h = leading(make, make("add", make("add", zh, zl), n))
  const l = make("sub", zl, make("sub", make("sub", h, n), zh))
  // y · log2 |x| = qh + ql, within the range of exponents
  const exponent = make("max", make("min", y, f(1e30)), f(-1e30))
  const yh = leading(make, exponent)
  const ql = make("add", make("mul", make("sub", exponent, yh), h), make("mul", exponent, l))
  const qh = make("mul", yh, h)
  const z = make("add", ql, qh)
  const k = make("round", make("max", make("min", z, f(130)), f(-152)))
  const fraction = make("add", make("sub", qh, k), ql)
  const rounding = make("sub", ql, make("sub", fraction, make("sub", qh, k)))
  // 2^fraction = exp(fraction · ln 2)
  const bounded = make("max", make("min", fraction, f(1)), f(-1))
  const th2 = leading(make, bounded, 0xffff8000)
  const u1 = make("mul", th2, f(6.93145752e-1))
  const v1 = make(
    "add",
    make("mul", make("add", make("sub", bounded, th2), make("max", make("min", rounding, f(1)), f(-1))), f(Math.LN2)),
    make("mul", th2, f(1.42860654e-6)),
  )
  const w = make("add", u1, v1)
  const error = make("sub", v1, make("sub", w, u1))
  const p = polynomial(
    make,
    w,
    [1.98756915e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1],
  )
  const value = make("add", make("add", make("add", make("mul", make("mul", w, w), p), error), w), f(1))
  return scale(make, value, make("toI32", k))
}

const sign: Recipe = (make, x) => {
  const zero = literal(0, x!.dtype)
  const one = literal(1, x!.dtype)
  const minus = literal(-1, x!.dtype)
  return make("select", make("gt", x!, zero), one, make("select", make("lt", x!, zero), minus, x!))
}

/** Bits: the mantissa is rounded to 10 of them, halves to even; below 2^-14 an addition aligns the value to multiples of 2^-24 and rounds it. */
const half: Recipe = (make, x) => {
  const bits = make("bits", x!)
  const magnitude = make("bitand", bits, u(0x7fffffff))
  const odd = make("bitand", make("shr", magnitude, u(13)), u(1))
  const rounded = make("bitand", make("add", make("add", magnitude, u(0xfff)), odd), u(0xffffe000))
  const capped = make("select", make("ge", rounded, u(0x47800000)), u(0x7f800000), rounded)
  const normal = make("select", make("gt", magnitude, u(0x7f800000)), magnitude, capped)
  const quanta = make("sub", make("bits", make("add", make("fromBits", magnitude), f(0.5))), u(0x3f000000))
  const subnormal = make("bits", make("mul", make("toF32", quanta), f(2 ** -24)))
  const size = make("select", make("lt", magnitude, u(0x38800000)), subnormal, normal)
  return make("fromBits", make("bitor", size, make("bitand", bits, u(0x80000000))))
}

/** The halves of words, each with its sign, multiplied by themselves. */
const dot2: Recipe = (make, a, b) => {
  const low = (x: Expression) => make("shr", make("toI32", make("shl", x, u(16))), i(16))
  const high = (x: Expression) => make("shr", make("toI32", x), i(16))
  return make("add", make("mul", low(a!), low(b!)), make("mul", high(a!), high(b!)))
}

const recipes: Partial<Record<Operation, Recipe>> = {
  exp,
  exp2,
  log,
  sin: (make, x) => sine(make, x!, 0),
  cos: (make, x) => sine(make, x!, 1),
  tanh,
  pow,
  sign,
  half,
  dot2,
}

/** Operations that have an expansion. */
export const expandable: ReadonlySet<Operation> = new Set(Object.keys(recipes) as Operation[])

/**
 * Rewrites every operation of `lacks` below `root` into others. Pass a `memo` to share the work between the roots of one kernel (with the same `lacks`).
 * Throws when `lacks` names an operation without an expansion.
 */
export function expand(
  root: Expression,
  lacks: ReadonlySet<Operation>,
  memo: Map<Expression, Expression> = new Map(),
): Expression {
  const make: Make = (name, ...args) => {
    const recipe = lacks.has(name) ? recipes[name] : undefined
    if (lacks.has(name) && recipe === undefined) throw fault(`'${name}' has no expansion`)
    return recipe === undefined ? apply(name, ...args) : recipe(make, ...args)
  }
  return rewrite(
    root,
    (x, again) =>
      x.kind === "operation" && lacks.has(x.operation) ? make(x.operation, ...x.args.map(again)) : undefined,
    memo,
  )
}
