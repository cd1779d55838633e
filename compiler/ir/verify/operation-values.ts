/**
 * What an operation on integers is, as a form, where its operands are forms.
 *
 *   (x + 3) // 4        →   ⌊(x + 3) / 4⌋
 *   (4·x + y) & 3       →   y − 4·⌊y / 4⌋
 *   x · y               →   ⟨x · y⟩ where it cannot wrap, otherwise anything that its type has
 */
import type { Expression, OperationNode } from "../nodes.js"
import { type DType, operations } from "../operations.js"
import type { Atoms } from "./atoms.js"
import type { Facts } from "./facts.js"
import { type Cases, combine, type Form, highest, lowest, minus, number, plus, times } from "./forms.js"

export const typeRanges: Readonly<Record<DType, readonly [low: number, high: number]>> = {
  i32: [-(2 ** 31), 2 ** 31 - 1],
  u32: [0, 2 ** 32 - 1],
  bool: [0, 1],
  // A float is no index; what is made of one is.
  f32: [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY],
}

export const isIndex = (x: Expression): boolean => (x.dtype === "i32" || x.dtype === "u32") && x.width === 1

/** A form, and whether it holds as long as the names in it do, or in the present statement only. */
export interface Made {
  readonly form: Form
  readonly lasts: boolean
}
export const lasts = (form: Form): Made => ({ form, lasts: true })
export const passes = (form: Form): Made => ({ form, lasts: false })

/** What is known of operands. */
export interface Reading {
  readonly atoms: Atoms
  readonly facts: Facts
  readonly of: (x: Expression) => Form
  /** Of which only the range of its type is known. */
  readonly anything: (x: Expression) => Form
  readonly isSteady: (x: Expression) => boolean
  readonly cases: (condition: Expression) => Cases
}

export function madeBy(x: OperationNode, reading: Reading): Made {
  const { args } = x
  const { of, anything, atoms } = reading
  if (x.operation === "bits") return passes(ofBits(args[0]!, reading) ?? anything(x))
  if (args.some((a) => a.dtype === "f32" || a.width > 1)) return passes(anything(x))
  const forms = args.map((o) => (o.dtype === "bool" ? number(0) : of(o)))
  const [a, b, c] = forms as [Form, Form, Form]
  switch (x.operation) {
    case "add":
    case "sub":
    case "neg":
    case "mul":
      return unlessWraps(x, arithmetic(x, a, b, atoms), reading)
    case "min":
      return lasts(atoms.minimum(a, b))
    case "max": {
      const most = atoms.maximum(a, b)
      // What is known here to be no less than 0 is itself, under the name that the maximum has elsewhere.
      if (isNumber(a) && a.constant === 0 && lowest(b) < 0 && reading.facts.proves(b))
        reading.facts.learn(minus(b, most))
      return lasts(most)
    }
    case "select":
      return { form: atoms.either(b, c, reading.cases(args[0]!)), lasts: reading.isSteady(args[0]!) }
    case "toI32":
    case "toU32":
      // A number that both types have is itself.
      return args[0]!.dtype === "bool" ? lasts(atoms.plain(0, 1)) : unlessWraps(x, a, reading)
    case "floordiv":
    case "div":
    case "floormod":
    case "rem":
      return divided(x, a, b, reading)
    case "shl":
      return isNumber(b) ? unlessWraps(x, times(a, 2 ** (b.constant & 31)), reading) : passes(anything(x))
    case "shr":
      return isNumber(b) ? lasts(atoms.quotient(a, 2 ** (b.constant & 31))) : passes(anything(x))
    case "bitand":
      return isNegative(args[1]!, args[0]!) ? passes(lowestBit(a, atoms) ?? anything(x)) : masked(x, a, b, reading)
    case "bitor":
    case "bitxor": {
      const most = Math.max(highest(a), highest(b))
      if (lowest(a) < 0 || lowest(b) < 0) return passes(anything(x))
      return lasts(atoms.plain(0, 2 ** Math.ceil(Math.log2(most + 1)) - 1))
    }
    default:
      return passes(anything(x))
  }
}

function arithmetic({ operation }: OperationNode, a: Form, b: Form, atoms: Atoms): Form {
  if (operation === "add") return combine(a, 1, b, 1)
  if (operation === "sub") return atoms.withRemainders(minus(a, b))
  if (operation === "neg") return times(a, -1)
  return isNumber(b) ? times(a, b.constant) : isNumber(a) ? times(b, a.constant) : atoms.product(a, b)
}

/** A form that is the value of `x` where it is within the range of its type. */
function unlessWraps(x: Expression, form: Form, { facts, anything }: Reading): Made {
  const [low, high] = typeRanges[x.dtype]
  if (lowest(form) >= low && highest(form) <= high) return lasts(form)
  const holds = facts.proves(plus(form, -low)) && facts.proves(plus(times(form, -1), high))
  return passes(holds ? form : anything(x))
}

function divided(x: OperationNode, a: Form, b: Form, { atoms, facts, anything }: Reading): Made {
  const rest = x.operation === "floormod" || x.operation === "rem"
  const positive = lowest(a) >= 0
  const rounds = x.operation === "floordiv" || x.operation === "floormod"
  // Division of negative numbers truncates, but for that of indices.
  if (!positive && !rounds && !facts.proves(a)) {
    const n = isNumber(b) ? Math.abs(b.constant) : 0
    return passes(rest && n > 0 ? atoms.plain(1 - n, n - 1) : anything(x))
  }
  if (isNumber(b)) {
    if (b.constant <= 0) return passes(anything(x))
    const form = rest ? atoms.remainder(a, b.constant) : atoms.quotient(a, b.constant)
    return { form, lasts: positive || rounds }
  }
  if (!facts.proves(plus(b, -1))) return passes(anything(x))
  return passes(rest ? atoms.remainderBy(a, b) : atoms.quotientBy(a, b))
}

/** The bits of a float grow with it; whole numbers up to 2^24 are floats. */
function ofBits(x: Expression, { of, atoms }: Reading): Form | undefined {
  if (x.kind !== "operation" || x.operation !== "toF32" || !isIndex(x.args[0]!)) return undefined
  const form = of(x.args[0]!)
  const [low, high] = [lowest(form), highest(form)]
  return low < 0 || high > 2 ** 24 ? undefined : atoms.plain(floatBits(low), floatBits(high))
}

/** x & −x: its lowest bit that is set. */
function lowestBit(x: Form, atoms: Atoms): Form | undefined {
  const [low, high] = [lowest(x), highest(x)]
  return low < 0 || high < 1 ? undefined : atoms.plain(Math.min(low, 1), 2 ** Math.floor(Math.log2(high)))
}

/** x & (2^n − 1) is a remainder; with another mask, a number up to it. */
function masked(x: Expression, a: Form, b: Form, { atoms, anything }: Reading): Made {
  const [value, mask] = isNumber(a) ? [b, a] : [a, b]
  if (!isNumber(mask) || mask.constant < 0) return passes(anything(x))
  const n = mask.constant + 1
  return lasts((n & (n - 1)) === 0 ? atoms.remainder(value, n) : atoms.plain(0, mask.constant))
}

const isNegative = (x: Expression, of: Expression): boolean =>
  x.kind === "operation" && x.operation === "neg" && x.args[0] === of
const floatBits = (x: number): number => operations.bits.evaluate("f32", x)
const isNumber = (x: Form): boolean => x.terms.length === 0
