/**
 * Values: integer expressions of a kernel as forms, at the statement where they are computed.
 *
 *   let row = min(block * 4 + lane, seq − 1)        row            →   ⟨min(4·⟨block⟩ + ⟨lane⟩, ⟨seq⟩ − 1)⟩
 *                                                   y[row * 64]    →   64·⟨min(…)⟩, when that cannot wrap
 *
 * What a `let` names is its value; what is fetched, or a variable that is assigned, is an atom of its own in each statement. An operation that
 * may wrap is an atom of which only the range of its type is known.
 */
import { lane, operands } from "../expression.js"
import type { Expression, OperationNode } from "../nodes.js"
import { type DType, operations } from "../operations.js"
import type { Atoms } from "./atoms.js"
import type { Facts } from "./facts.js"
import { type Cases, combine, type Form, highest, lowest, minus, number, plus, times } from "./forms.js"

const typeRanges: Readonly<Record<DType, readonly [low: number, high: number]>> = {
  i32: [-(2 ** 31), 2 ** 31 - 1],
  u32: [0, 2 ** 32 - 1],
  bool: [0, 1],
  // A float is no index; what is made of one is.
  f32: [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY],
}

export interface Values {
  /** The form of an integer expression of width 1. */
  of(x: Expression): Form
  /** The counter of a loop, from 0 up to `most`. */
  counter(most: number): Form
  /** Gives a name its meaning from here on: a form, or what an expression is here; anything when left out. */
  name(name: string, value: Form | Expression | undefined): void
  /** What is at least 0 where an expression is above 0. */
  positive(x: Expression): readonly Form[]
  /** What is at least 0 where a condition holds, and where it does not. */
  cases(condition: Expression): Cases
  /** Forgets what was computed of memory and of variables: a statement is over. */
  next(): void
}

/** `counted` knows the present values of variables, and of elements of arrays, that count. */
export function createValues(
  atoms: Atoms,
  facts: Facts,
  counted: (name: string, offset?: Expression) => Form | undefined,
): Values {
  const forms = new Map<string, Form>()
  const meanings = new Map<string, Expression>()
  /** Of vectors that hold what was fetched. */
  const lanes = new Map<string, Form>()
  const declared = new Set<string>()
  /** Of what is the same as long as its names are; and of the present statement. */
  const lasting = new Map<Expression, Form>()
  const passing = new Map<Expression, Form>()
  const steady = new Map<Expression, boolean>()

  const isSteady = (x: Expression): boolean => {
    const known = steady.get(x)
    if (known !== undefined) return known
    const own = x.kind !== "fetch" && !(x.kind === "variable" && !forms.has(x.name) && !meanings.has(x.name))
    const made = own && operands(x).every(isSteady)
    steady.set(x, made)
    return made
  }
  const symbols = new Map<string, Form>()
  const symbolOf = (name: string, most: number): Form => {
    const known = symbols.get(name) ?? atoms.plain(0, most)
    symbols.set(name, known)
    return known
  }
  const anything = (x: Expression): Form => atoms.plain(...typeRanges[x.dtype])

  const of = (x: Expression): Form => {
    const known = lasting.get(x) ?? passing.get(x)
    if (known !== undefined) return known
    const made = make(x)
    // What was shown not to wrap by facts of this place may wrap elsewhere, and what is made of it.
    if (made.lasts && isSteady(x) && !operands(x).some((o) => passing.has(o))) lasting.set(x, made.form)
    else passing.set(x, made.form)
    return made.form
  }

  interface Made {
    readonly form: Form
    readonly lasts: boolean
  }
  const lasts = (form: Form): Made => ({ form, lasts: true })

  const make = (x: Expression): Made => {
    switch (x.kind) {
      case "literal":
        return lasts(number(x.value))
      case "symbol":
        return lasts(symbolOf(x.name, x.max))
      case "variable": {
        const meant = meanings.get(x.name)
        if (meant !== undefined && isIndex(meant)) {
          const form = of(meant)
          return { form, lasts: lasting.has(meant) }
        }
        return lasts(forms.get(x.name) ?? counted(x.name) ?? anything(x))
      }
      case "fetch": {
        const form = isIndex(x) ? counted(x.array, x.offset) : undefined
        return { form: form ?? anything(x), lasts: false }
      }
      case "lane": {
        const known = x.of.kind === "variable" ? lanes.get(laneName(x.of.name, x.lane)) : undefined
        if (known !== undefined) return { form: known, lasts: false }
        const scalar = laneOf(x.of, x.lane)
        return scalar === undefined || scalar === x
          ? { form: anything(x), lasts: false }
          : { form: of(scalar), lasts: false }
      }
      case "operation":
        return x.width > 1 || x.dtype === "f32" ? { form: anything(x), lasts: false } : operation(x)
      default:
        return { form: anything(x), lasts: false }
    }
  }

  /** The scalar in one lane of a vector. */
  const laneOf = (x: Expression, at: number): Expression | undefined => {
    if (x.kind === "variable") {
      const meant = meanings.get(x.name)
      return meant === undefined ? lane(x, at) : laneOf(meant, at)
    }
    if (x.kind !== "operation" || x.dtype === "f32" || x.args.some((a) => a.dtype === "f32")) return lane(x, at)
    const args = x.args.map((a) => laneOf(a, at))
    return args.some((a) => a === undefined) ? undefined : ({ ...x, width: 1, args } as OperationNode)
  }

  /** A form that is the value of `x` where it is within the range of its type. */
  const unlessWraps = (x: Expression, form: Form): Made => {
    const [low, high] = typeRanges[x.dtype]
    if (lowest(form) >= low && highest(form) <= high) return lasts(form)
    const holds = facts.proves(plus(form, -low)) && facts.proves(plus(times(form, -1), high))
    return holds ? { form, lasts: false } : { form: anything(x), lasts: false }
  }

  const operation = (x: OperationNode): Made => {
    const { operation: name, args } = x
    if (name === "bits") return { form: ofBits(args[0]!) ?? anything(x), lasts: false }
    if (args.some((a) => a.dtype === "f32" || a.width > 1)) return { form: anything(x), lasts: false }
    const [a, b, c] = args.map((o) => (o.dtype === "bool" ? number(0) : of(o))) as [Form, Form, Form]
    switch (name) {
      case "add":
        return unlessWraps(x, combine(a, 1, b, 1))
      case "sub":
        return unlessWraps(x, atoms.withRemainders(minus(a, b)))
      case "neg":
        return unlessWraps(x, times(a, -1))
      case "mul":
        return unlessWraps(
          x,
          isNumber(b) ? times(a, b.constant) : isNumber(a) ? times(b, a.constant) : atoms.product(a, b),
        )
      case "min":
        return lasts(atoms.minimum(a, b))
      case "max":
        return lasts(atoms.maximum(a, b))
      case "select":
        return chosen(args[0]!, b, c)
      case "toI32":
      case "toU32":
        // A number that both types have is itself.
        return args[0]!.dtype === "bool" ? lasts(atoms.plain(0, 1)) : unlessWraps(x, a)
      case "floordiv":
      case "div":
        return divided(x, a, b, false)
      case "floormod":
      case "rem":
        return divided(x, a, b, true)
      case "shl":
        return isNumber(b) ? unlessWraps(x, times(a, 2 ** (b.constant & 31))) : { form: anything(x), lasts: false }
      case "shr":
        return isNumber(b) ? lasts(atoms.quotient(a, 2 ** (b.constant & 31))) : { form: anything(x), lasts: false }
      case "bitand":
        return isNegative(args[1]!, args[0]!) ? { form: lowestBit(a) ?? anything(x), lasts: false } : masked(x, a, b)
      case "bitor":
      case "bitxor": {
        const most = Math.max(highest(a), highest(b))
        if (lowest(a) < 0 || lowest(b) < 0) return { form: anything(x), lasts: false }
        return lasts(atoms.plain(0, 2 ** Math.ceil(Math.log2(most + 1)) - 1))
      }
      default:
        return { form: anything(x), lasts: false }
    }
  }

  const chosen = (condition: Expression, a: Form, b: Form): Made => ({
    form: atoms.either(a, b, cases(condition)),
    lasts: isSteady(condition),
  })
  /** What is at least 0 where x is above 0: of a product of what is not negative, each factor is. */
  const positive = (x: Expression): readonly Form[] => {
    const own = plus(of(x), -1)
    if (x.kind !== "operation" || x.operation !== "mul") return [own]
    return x.args.every((a) => lowest(of(a)) >= 0) ? [...x.args.flatMap(positive), own] : [own]
  }
  const cases = (x: Expression): Cases => ({ first: knownOf(x, true), second: knownOf(x, false) })
  /** What is at least 0 where a condition holds, or where it does not. */
  const knownOf = (x: Expression, holds: boolean): readonly Form[] => {
    if (x.kind === "variable") return meanings.has(x.name) ? knownOf(meanings.get(x.name)!, holds) : []
    if (x.kind !== "operation" || x.width > 1) return []
    const [a, b] = x.args as [Expression, Expression]
    if (x.operation === "not") return knownOf(a, !holds)
    if (x.operation === (holds ? "and" : "or")) return x.args.flatMap((c) => knownOf(c, holds))
    if (x.args.length !== 2 || !isIndex(a)) return []
    const [p, q] = [of(a), of(b)]
    const [below, above] = [plus(minus(q, p), -1), plus(minus(p, q), -1)]
    switch (x.operation) {
      case "lt":
        return holds ? [below, ...(lowest(p) >= 0 ? positive(b) : [])] : [minus(p, q)]
      case "le":
        return [holds ? minus(q, p) : above]
      case "gt":
        return [holds ? above : minus(q, p)]
      case "ge":
        return [holds ? minus(p, q) : below]
      case "eq":
        return holds ? [minus(p, q), minus(q, p)] : []
      case "ne":
        return holds ? [] : [minus(p, q), minus(q, p)]
      default:
        return []
    }
  }
  /** The bits of a float grow with it; whole numbers up to 2^24 are floats. */
  const ofBits = (x: Expression): Form | undefined => {
    if (x.kind !== "operation" || x.operation !== "toF32" || !isIndex(x.args[0]!)) return undefined
    const form = of(x.args[0]!)
    const [low, high] = [lowest(form), highest(form)]
    return low < 0 || high > 2 ** 24 ? undefined : atoms.plain(floatBits(low), floatBits(high))
  }
  /** x & −x: its lowest bit that is set. */
  const lowestBit = (x: Form): Form | undefined => {
    const [low, high] = [lowest(x), highest(x)]
    return low < 0 || high < 1 ? undefined : atoms.plain(Math.min(low, 1), 2 ** Math.floor(Math.log2(high)))
  }

  /** x & (2^n − 1) is a remainder; with another mask, a number up to it. */
  const masked = (x: Expression, a: Form, b: Form): Made => {
    const [value, mask] = isNumber(a) ? [b, a] : [a, b]
    if (!isNumber(mask) || mask.constant < 0) return { form: anything(x), lasts: false }
    const n = mask.constant + 1
    return lasts((n & (n - 1)) === 0 ? atoms.remainder(value, n) : atoms.plain(0, mask.constant))
  }

  const divided = (x: OperationNode, a: Form, b: Form, rest: boolean): Made => {
    const positive = lowest(a) >= 0
    const rounds = x.operation === "floordiv" || x.operation === "floormod"
    const from = (form: Form) => ({ form, lasts: positive || rounds })
    // Division of negative numbers truncates, but for that of indices.
    if (!positive && !rounds && !facts.proves(a)) {
      const n = isNumber(b) ? Math.abs(b.constant) : 0
      return { form: rest && n > 0 ? atoms.plain(1 - n, n - 1) : anything(x), lasts: false }
    }
    if (isNumber(b)) {
      if (b.constant <= 0) return { form: anything(x), lasts: false }
      return from(rest ? atoms.remainder(a, b.constant) : atoms.quotient(a, b.constant))
    }
    if (!facts.proves(plus(b, -1))) return { form: anything(x), lasts: false }
    if (rest) return { form: atoms.remainderBy(a, b), lasts: false }
    return { form: atoms.quotientBy(a, b), lasts: false }
  }

  return {
    of,
    counter: (most) => atoms.plain(0, most),
    name(name, value) {
      // Scopes side by side may repeat a name: what was computed with the other one is forgotten.
      if (declared.has(name)) {
        lasting.clear()
        passing.clear()
        steady.clear()
      }
      declared.add(name)
      forms.delete(name)
      for (let at = 0; lanes.delete(laneName(name, at)); at++);
      meanings.delete(name)
      // No index is a float.
      if (value === undefined || ("dtype" in value && value.dtype === "f32")) return
      if ("terms" in value) forms.set(name, value)
      else if (isSteady(value)) meanings.set(name, value)
      else if (isIndex(value)) forms.set(name, of(value))
      else if (value.dtype === "i32")
        for (let at = 0; at < value.width; at++) {
          const scalar = laneOf(value, at)
          if (scalar !== undefined && scalar.width === 1) lanes.set(laneName(name, at), of(scalar))
        }
    },
    cases,
    positive,
    next: () => passing.clear(),
  }
}

const isIndex = (x: Expression): boolean => (x.dtype === "i32" || x.dtype === "u32") && x.width === 1
const isNegative = (x: Expression, of: Expression): boolean =>
  x.kind === "operation" && x.operation === "neg" && x.args[0] === of
const floatBits = (x: number): number => operations.bits.evaluate("f32", x)
const laneName = (name: string, at: number): string => `${name}.${at}`
const isNumber = (x: Form): boolean => x.terms.length === 0
