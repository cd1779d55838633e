/**
 * Compilers of shaders may compute as with real numbers, which is wrong where values are infinite, NaN or −0. What they could fold so is hidden
 * from them: one operand becomes a value that is what it was, but that no compiler knows.
 *
 *   x − x, (x + y) − x, x / x, x·y / x   are not 0, 0 + y, 1, y for an infinite x
 *   a·b + a·c, a·2 − (a + a)             are not a·(b + c), 0
 *   a + c·(b − a)                        is not a·(1 − c) + b·c
 *   (x + y + 1) − 1                      is not x + y, which may be −0
 *   x + y < x, x − y <= 0                are not y < 0, x <= y
 *   x < y ? x : y, |x| >= 0              are not min(x, y), true for NaN
 *   √x·√x                                is not x for x < 0
 *   0·x, 0 / x, 0 + x, 0 − x             are not 0, 0, x, −x
 *
 * In the last line 0 is any value that a driver may come to know: a literal, what is made of literals and of the numbers of loops, which may
 * be unrolled, a choice between such values by a condition, a truth as a number, and what a condition chooses that a range decides, such as
 * 0 > |x|. Left as it is: what comes from memory, factors that far terms of a sum share, s·a + (t + s·b), for hot loops add so, and a minus before
 * a sum, for x − (y − z) is x + (z − y) but for the signs of zeros.
 */
import { isLiteral } from "../../ir/expression.js"
import { memoized } from "../../ir/memoized.js"
import type { Expression, OperationNode } from "../../ir/nodes.js"
import type { Operation } from "../../ir/operations.js"
import type { Context } from "../text/dialect.js"
import { argument } from "../text/literals.js"
import { typeText } from "./types.js"

type Known = Pick<Context, "definitions" | "counters">
type Operations = ReadonlySet<Operation>

const comparisons: Operations = new Set(["lt", "le", "gt", "ge", "eq", "ne"])
const nothing: Operations = new Set()
const sums: Operations = new Set(["add", "sub"])
const products: Operations = new Set(["mul"])
const quotients: Operations = new Set(["mul", "div", "sqrt"])
const both: Operations = new Set([...sums, ...products])
const scaled: Operations = new Set(["mul", "div"])
const roots: Operations = new Set(["sqrt"])

/** How many operations, one in the other, are looked through. */
const depth = 4

/** The operands of `x` to hide. */
export function cancels(x: OperationNode, known: Known): readonly number[] {
  if (x.args.at(-1)!.dtype !== "f32") return []
  const [a, b] = x.args as [Expression, Expression]
  const vanishing = (through: Through) => [a, b].flatMap((e, i) => (mayVanish(e, known, through) ? [i] : []))
  switch (x.operation) {
    case "mul":
      return [...(areInverse(a, b, known) ? [1] : []), ...vanishing("choices")]
    case "div":
      return [...(share(a, b, quotients, known) ? [1] : []), ...vanishing("choices")]
    case "add":
    case "sub":
      return [...(areCombined(x, a, b, known) ? [1] : []), ...vanishing("numbers")]
    case "select":
      return choosesCompared(x, known) ? [1] : []
    default:
      return comparisons.has(x.operation) && isDecided(x, a, b, known) ? [1] : []
  }
}

/** Whether a product may become one of its operands. */
function areInverse(a: Expression, b: Expression, known: Known): boolean {
  const divided = (x: Expression, by: Expression) =>
    some(
      partsOf(x, nothing, known),
      (e) => e.kind === "operation" && e.operation === "div" && share(e.args[1]!, by, products, known),
    )
  const hasRoot = (x: Expression) => some(partsOf(x, products, known), (e) => isOne(e, roots))
  return (hasRoot(a) && hasRoot(b)) || divided(a, b) || divided(b, a)
}

/** Whether a sum may be written in another way. */
function areCombined({ operation }: OperationNode, a: Expression, b: Expression, known: Known): boolean {
  // 2x is what it should be.
  if (operation === "add" && named(a, known) === named(b, known)) return false
  if (isShifted(a, known) && isShifted(b, known)) return true
  return share(a, b, sums, known) || share(a, b, both, known, 1) || isMixed(a, b, known) || isMixed(b, a, known)
}

/** Whether a comparison may be written in another way, or be known. */
function isDecided({ operation }: OperationNode, a: Expression, b: Expression, known: Known): boolean {
  if (share(a, b, sums, known) || share(a, b, both, known, 1)) return true
  // Those that infinite terms or NaN would make true.
  if (operation === "lt" || operation === "gt") return false
  const [first, second] = [a, b].map((e) => mayBeKnown(e, known, "ranges")) as [boolean, boolean]
  if (first && second)
    return ![a, b].every((e) => mayBeKnown(e, known, "choices")) && !(isAbove(a, known) && isAbove(b, known))
  const isOpen = (x: Expression) => isOne(named(x, known), sums) && !isShifted(x, known)
  return (first && isOpen(b)) || (second && isOpen(a))
}

/** What a name stands for. */
function named(x: Expression, known: Known): Expression {
  const of = x.kind === "splat" ? x.of : x.kind === "variable" ? known.definitions.get(x.name) : undefined
  return of === undefined ? x : named(of, known)
}

/**
 * The values that `x` is one of or is made of by some operations, without their signs and without the turn through their bits: compilers see
 * through these, through choices and through what is added that they know.
 */
function partsOf(root: Expression, through: Operations, known: Known, levels = depth): ReadonlySet<Expression> {
  const found = new Set<Expression>()
  const isUnit = (x: Expression) => isLiteral(x) && Math.abs(x.value) === 1
  const visit = (x: Expression, left: number, choices: number): void => {
    const of = named(x, known)
    found.add(of)
    if (of.kind !== "operation") return
    const args = of.args.map((a) => named(a, known))
    const [first, second, third] = args as [Expression, Expression, Expression]
    if (of.operation === "neg" || (of.operation === "mul" && isUnit(second))) visit(first, left, choices)
    else if (of.operation === "mul" && isUnit(first)) visit(second, left, choices)
    else if (of.operation === "fromBits" && first.kind === "operation" && first.operation === "bits")
      visit(first.args[0]!, left, choices)
    else if (of.operation === "select" && choices > 0) for (const e of [second, third]) visit(e, left, choices - 1)
    else if (through.has(of.operation)) {
      const now = left - (sums.has(of.operation) && args.some(isLiteral) ? 0 : 1)
      if (now >= 0) for (const e of args) visit(e, now, choices)
    }
  }
  visit(root, levels, depth)
  return found
}

const some = (values: ReadonlySet<Expression>, is: (x: Expression) => boolean): boolean => [...values].some(is)

const meet = (these: ReadonlySet<Expression>, those: ReadonlySet<Expression>): boolean =>
  some(these, (e) => !isLiteral(e) && those.has(e))

/** Whether two values have a part in common. */
const share = (a: Expression, b: Expression, through: Operations, known: Known, levels = depth): boolean =>
  meet(partsOf(a, through, known, levels), partsOf(b, through, known, levels))

/** Whether a sum has a value as a term. */
function hasTerm(sum: Expression, value: Expression, known: Known): boolean {
  const whole = partsOf(sum, nothing, known)
  const terms = partsOf(sum, sums, known)
  return some(partsOf(value, nothing, known), (e) => !isLiteral(e) && !whole.has(e) && terms.has(e))
}

/** Whether `b` is a product of some sum that has `a` as a term. */
const isMixed = (a: Expression, b: Expression, known: Known): boolean =>
  some(partsOf(b, scaled, known), (e) => isOne(e, sums) && hasTerm(e, a, known))

const isOne = (x: Expression, operations: Operations): boolean => x.kind === "operation" && operations.has(x.operation)

/** Whether a compiler may come to know a term of a value. */
const isShifted = (x: Expression, known: Known): boolean =>
  some(partsOf(x, sums, known), (e) => mayBeKnown(e, known, "choices"))

/** Whether `x` chooses between what its condition compares. */
function choosesCompared(x: OperationNode, known: Known): boolean {
  const [condition, ...chosen] = x.args.map((a) => named(a, known)) as [Expression, Expression, Expression]
  const isNot = condition.kind === "operation" && condition.operation === "not"
  const of = isNot ? named(condition.args[0]!, known) : condition
  if (of.kind !== "operation" || !comparisons.has(of.operation)) return false
  return chosen.every((c) => of.args.some((a) => share(a, c, nothing, known) || named(a, known) === c))
}

/**
 * Whether only what is one number is seen, or what is one of two as well: 0 or 1 as a factor makes a choice of a product, as a term nothing. Of
 * what is compared a range is enough: |x| < 0 is false.
 */
type Through = "numbers" | "choices" | "ranges"

/** What has a range, whatever it is given. */
const ranged: Operations = new Set(["abs", "sqrt"])

/** Whether a value is above 0 or made of what is not below it, which no range decides. */
function isAbove(x: Expression, known: Known): boolean {
  const of = named(x, known)
  if (isLiteral(of)) return of.value > 0
  if (of.kind !== "operation") return false
  const [first, second] = of.args.map((a) => named(a, known))
  if (ranged.has(of.operation) || (of.operation === "mul" && first === second)) return true
  return both.has(of.operation) && of.operation !== "sub" && of.args.every((a) => isAbove(a, known))
}

/** Whether a compiler may come to know that a value is 0. */
function mayVanish(x: Expression, known: Known, through: Through): boolean {
  const of = named(x, known)
  return isLiteral(of) ? of.value === 0 : mayBeKnown(of, known, through)
}

/** Whether a compiler may come to know a value, or by way of choices that it is one of those that it knows. */
function mayBeKnown(root: Expression, known: Known, through: Through): boolean {
  const visit = memoized((x: Expression): boolean => {
    const of = named(x, known)
    switch (of.kind) {
      case "literal":
        return true
      case "variable":
        return known.counters.has(of.name)
      case "ramp":
      case "lane":
        return visit(of.of)
      case "vector":
        return of.args.some(visit)
      case "operation":
        break
      default:
        return false
    }
    const [first, ...rest] = of.args as [Expression, Expression, Expression]
    const isRanged = ranged.has(of.operation) || (of.operation === "mul" && share(first, rest[0]!, nothing, known))
    if (through === "ranges" && of.dtype === "f32" && isRanged) return true
    if (comparisons.has(of.operation)) return of.args.every((a) => mayBeKnown(a, known, "ranges"))
    if (of.operation === "toF32" && first.dtype === "bool" && through !== "numbers") return true
    if (of.operation !== "select") return of.args.every(visit)
    return visit(first) ? rest.some(visit) : through !== "numbers" && rest.every(visit)
  })
  return visit(root)
}

/** A value that is what it was, but no compiler knows: nor, of the different `occurrence`s of one value, that they are the same. */
export const hidden = (text: string, width: number, occurrence: number): string => {
  const word = typeText("u32", width)
  const none = `bitcast<u32>(zero) & ${occurrence}u`
  return `bitcast<${typeText("f32", width)}>(bitcast<${word}>(${argument(text)}) | ${width === 1 ? `(${none})` : `${word}(${none})`})`
}
