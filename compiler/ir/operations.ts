/**
 * The scalar operations: one table that every target prints and every interpreter evaluates.
 *
 * Semantics are WGSL's where JavaScript differs, and always defined:
 * - f32 results are rounded to nearest even after every operation; i32 and u32 wrap; a bool is 0 or 1.
 * - integer `div` truncates, `rem` has the sign of the dividend; x div 0 = x, x rem 0 = 0, MIN div -1 = MIN, MIN rem -1 = 0.
 * - f32 `rem` is JavaScript's %, exact.
 * - `floordiv` and `floormod` are for indices: the divisor is a positive literal.
 * - shifts take their amount modulo 32; `shr` is arithmetic on i32 and logical on u32.
 * - `round` rounds halves to even; `toI32`, `toU32` truncate and saturate; NaN becomes 0.
 * - `half` is the nearest f16, halves to even (an infinity from 65,520 on): half(half(a) · half(b)) is the product in f16, for a product of two f16
 *   is exact in f32. Adapters with such arithmetic may round to the other neighbour, or not at all.
 * - NaN, infinities and −0 are values like others, JavaScript's everywhere: NaN in arithmetic, `min`, `max` and functions gives NaN, and `min`,
 *   `max` take −0 for less than 0. Which NaN it is, by its bits, is not said. Subnormal numbers, in and out, may be flushed to 0.
 * - `dot2` takes two words of two i16 each: the sum of the products of their low halves and of their high ones, which wraps like any i32.
 * - `looseMax` is `max` in one instruction: where an argument is NaN, or both are zeros, either of them. What it is used for may not depend on which.
 * - `sin`, `cos`, `exp`, `exp2`, `log`, `tanh`, `pow` are within the factor of `error` (in units of 2^-24, relative; sin and cos: absolute 1e-6).
 * - `angle` is x modulo 2π in −π … π, but x itself up to 2^17; it is what sine and cosine are made of.
 *
 * What is promised to authors, by operation, stands in promises.ts and in the language's README.
 */

export type DType = "f32" | "i32" | "u32" | "bool"

/** How the dtype of a result follows from its arguments. */
type Rule =
  | "same" /* all arguments alike, any of `on`; the result too */
  | "compare" /* two alike → bool */
  | "select" /* bool, then two alike */
  | { readonly from: readonly DType[]; readonly to: DType }

export interface OperationRecord {
  readonly arity: number
  readonly rule: Rule
  /** The dtypes that arguments may have. */
  readonly on: readonly DType[]
  /** Value in float64 before the rounding of `dtype` (the dtype of the arguments). */
  readonly evaluate: (dtype: DType, ...x: number[]) => number
  /** Extra error over one rounding, in units of 2^-24, for the laws' analytic regime. */
  readonly error?: number
}

const all: readonly DType[] = ["f32", "i32", "u32", "bool"]
const numbers: readonly DType[] = ["f32", "i32", "u32"]
const integers: readonly DType[] = ["i32", "u32"]
const float: readonly DType[] = ["f32"]
const truth: readonly DType[] = ["bool"]

/** Angles below this in size need no reduction by whole turns before that of sine and cosine. */
export const plainAngles = 2 ** 17

/** The largest finite f32. */
export const largest = 3.4028234663852886e38

const view = new DataView(new ArrayBuffer(4))

function roundHalfEven(x: number): number {
  const r = Math.round(x)
  return Math.abs(x - Math.trunc(x)) === 0.5 && r % 2 !== 0 ? r - 1 : r
}

/** The halves of a word as i16, the low one first. */
const halvesOf = (word: number): readonly [number, number] => [(word << 16) >> 16, word >> 16]

function dotOfHalves(a: number, b: number): number {
  const [p, q] = [halvesOf(a), halvesOf(b)]
  return p[0] * q[0] + p[1] * q[1]
}

const divide = (d: DType, a: number, b: number) => (d === "f32" ? a / b : b === 0 ? a : Math.trunc(a / b))
const remainder = (d: DType, a: number, b: number) => (d !== "f32" && b === 0 ? 0 : a % b)
/** JavaScript's own sine and cosine reduce every argument exactly. */
const principal = (x: number) => (Math.abs(x) < plainAngles ? x : Math.atan2(Math.sin(x), Math.cos(x)))

export const operations = {
  add: { arity: 2, rule: "same", on: numbers, evaluate: (_, a, b) => a! + b! },
  sub: { arity: 2, rule: "same", on: numbers, evaluate: (_, a, b) => a! - b! },
  mul: { arity: 2, rule: "same", on: numbers, evaluate: (d, a, b) => (d === "f32" ? a! * b! : Math.imul(a!, b!)) },
  div: { arity: 2, rule: "same", on: numbers, evaluate: (d, a, b) => divide(d, a!, b!), error: 4 },
  rem: { arity: 2, rule: "same", on: numbers, evaluate: (d, a, b) => remainder(d, a!, b!) },
  floordiv: { arity: 2, rule: "same", on: integers, evaluate: (_, a, b) => Math.floor(a! / b!) },
  floormod: { arity: 2, rule: "same", on: integers, evaluate: (_, a, b) => a! - b! * Math.floor(a! / b!) },
  neg: { arity: 1, rule: "same", on: ["f32", "i32"], evaluate: (_, a) => -a! },
  min: { arity: 2, rule: "same", on: numbers, evaluate: (_, a, b) => Math.min(a!, b!) },
  max: { arity: 2, rule: "same", on: numbers, evaluate: (_, a, b) => Math.max(a!, b!) },
  // biome-ignore lint/complexity/useMathMinMax: Math.max keeps NaN
  looseMax: { arity: 2, rule: "same", on: float, evaluate: (_, a, b) => (a! < b! ? b! : a!) },
  abs: { arity: 1, rule: "same", on: ["f32", "i32"], evaluate: (_, a) => Math.abs(a!) },
  sign: { arity: 1, rule: "same", on: ["f32", "i32"], evaluate: (_, a) => Math.sign(a!) },
  floor: { arity: 1, rule: "same", on: float, evaluate: (_, a) => Math.floor(a!) },
  ceil: { arity: 1, rule: "same", on: float, evaluate: (_, a) => Math.ceil(a!) },
  round: { arity: 1, rule: "same", on: float, evaluate: (_, a) => roundHalfEven(a!) },
  trunc: { arity: 1, rule: "same", on: float, evaluate: (_, a) => Math.trunc(a!) },
  sqrt: { arity: 1, rule: "same", on: float, evaluate: (_, a) => Math.sqrt(a!), error: 4 },
  exp: { arity: 1, rule: "same", on: float, evaluate: (_, a) => Math.exp(a!), error: 16 },
  exp2: { arity: 1, rule: "same", on: float, evaluate: (_, a) => 2 ** a!, error: 16 },
  log: { arity: 1, rule: "same", on: float, evaluate: (_, a) => Math.log(a!), error: 16 },
  angle: { arity: 1, rule: "same", on: float, evaluate: (_, a) => principal(a!), error: 17 },
  sin: { arity: 1, rule: "same", on: float, evaluate: (_, a) => Math.sin(a!), error: 17 },
  cos: { arity: 1, rule: "same", on: float, evaluate: (_, a) => Math.cos(a!), error: 17 },
  tanh: { arity: 1, rule: "same", on: float, evaluate: (_, a) => Math.tanh(a!), error: 32 },
  pow: { arity: 2, rule: "same", on: float, evaluate: (_, a, b) => a! ** b!, error: 64 },
  half: { arity: 1, rule: "same", on: float, evaluate: (_, a) => roundToHalf(a!), error: 2 ** 13 },
  isNaN: { arity: 1, rule: { from: float, to: "bool" }, on: float, evaluate: (_, a) => Number(Number.isNaN(a)) },
  lt: { arity: 2, rule: "compare", on: numbers, evaluate: (_, a, b) => Number(a! < b!) },
  le: { arity: 2, rule: "compare", on: numbers, evaluate: (_, a, b) => Number(a! <= b!) },
  gt: { arity: 2, rule: "compare", on: numbers, evaluate: (_, a, b) => Number(a! > b!) },
  ge: { arity: 2, rule: "compare", on: numbers, evaluate: (_, a, b) => Number(a! >= b!) },
  eq: { arity: 2, rule: "compare", on: all, evaluate: (_, a, b) => Number(a === b) },
  ne: { arity: 2, rule: "compare", on: all, evaluate: (_, a, b) => Number(a !== b) },
  select: { arity: 3, rule: "select", on: all, evaluate: (_, c, a, b) => (c ? a! : b!) },
  and: { arity: 2, rule: "same", on: truth, evaluate: (_, a, b) => Number(a && b) },
  or: { arity: 2, rule: "same", on: truth, evaluate: (_, a, b) => Number(a || b) },
  not: { arity: 1, rule: "same", on: truth, evaluate: (_, a) => Number(!a) },
  bitand: { arity: 2, rule: "same", on: integers, evaluate: (_, a, b) => a! & b! },
  bitor: { arity: 2, rule: "same", on: integers, evaluate: (_, a, b) => a! | b! },
  bitxor: { arity: 2, rule: "same", on: integers, evaluate: (_, a, b) => a! ^ b! },
  bitnot: { arity: 1, rule: "same", on: integers, evaluate: (_, a) => ~a! },
  shl: { arity: 2, rule: "same", on: integers, evaluate: (_, a, b) => a! << b! },
  shr: { arity: 2, rule: "same", on: integers, evaluate: (d, a, b) => (d === "u32" ? a! >>> b! : a! >> b!) },
  dot2: { arity: 2, rule: { from: ["u32"], to: "i32" }, on: ["u32"], evaluate: (_, a, b) => dotOfHalves(a!, b!) },
  bits: {
    arity: 1,
    rule: { from: ["f32"], to: "u32" },
    on: float,
    evaluate: (_, a) => {
      // Of all NaN, whichever of them JavaScript has made.
      if (Number.isNaN(a!)) return 0x7fc00000
      view.setFloat32(0, a!)
      return view.getUint32(0)
    },
  },
  fromBits: {
    arity: 1,
    rule: { from: ["u32"], to: "f32" },
    on: ["u32"],
    evaluate: (_, a) => {
      view.setUint32(0, a!)
      return view.getFloat32(0)
    },
  },
  toF32: { arity: 1, rule: { from: all, to: "f32" }, on: all, evaluate: (_, a) => a! },
  toI32: {
    arity: 1,
    rule: { from: all, to: "i32" },
    on: all,
    evaluate: (d, a) => (d === "f32" ? Math.max(-2147483648, Math.min(2147483647, Math.trunc(a!) || 0)) : a!),
  },
  toU32: {
    arity: 1,
    rule: { from: all, to: "u32" },
    on: all,
    evaluate: (d, a) => (d === "f32" ? Math.max(0, Math.min(4294967295, Math.trunc(a!) || 0)) : a!),
  },
} satisfies Record<string, OperationRecord>

export type Operation = keyof typeof operations

export const operation = (name: Operation): OperationRecord => operations[name]

/** Rounds a float64 to the nearest value of `dtype` (integers wrap, a bool is 0 or 1). */
export function roundTo(dtype: DType, x: number): number {
  switch (dtype) {
    case "f32":
      return Math.fround(x)
    case "i32":
      return x | 0
    case "u32":
      return x >>> 0
    case "bool":
      return x ? 1 : 0
    default:
      return dtype satisfies never
  }
}

/** The dtype of the result, or a sentence that says what is wrong. */
export function resultType(name: Operation, args: readonly DType[]): DType | { readonly problem: string } {
  const { arity, rule, on } = operation(name)
  if (args.length !== arity) return { problem: `'${name}' takes ${arity} arguments, not ${args.length}` }
  const values = rule === "select" ? args.slice(1) : args
  if (rule === "select" && args[0] !== "bool") return { problem: `the condition of 'select' is ${args[0]}, not bool` }
  for (const d of values) if (!on.includes(d)) return { problem: `'${name}' does not take ${d}, only ${on.join(", ")}` }
  if (typeof rule === "object") return rule.to
  if (values.some((d) => d !== values[0]))
    return { problem: `'${name}' got ${values.join(" and ")}; both must be alike` }
  return rule === "compare" ? "bool" : values[0]!
}

/** The distance of neighbouring f16 values around a float32, by the eight bits of its exponent; 2^-24 from the subnormals down. */
const quanta = Float64Array.from({ length: 256 }, (_, exponent) => 2 ** Math.max(exponent - 127 - 10, -24))

/** The nearest f16 (11 bits from 2^-14 to 65,504, multiples of 2^-24 below), halves to even; an infinity from 65,520 on. A float64 is rounded to f32 on the way. */
export function roundToHalf(wide: number): number {
  const x = Math.fround(wide)
  if (x === 0 || !Number.isFinite(x)) return x
  view.setFloat32(0, x)
  const quantum = quanta[(view.getUint32(0) >>> 23) & 0xff]!
  // Adding and subtracting 1.5 · 2^52 rounds a float64 to an integer, halves to even.
  const whole = x / quantum + 6755399441055744 - 6755399441055744
  const rounded = Math.abs(whole) * quantum
  return (x < 0 ? -1 : 1) * (rounded > 65504 ? Number.POSITIVE_INFINITY : rounded)
}
