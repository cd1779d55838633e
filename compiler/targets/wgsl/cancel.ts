/**
 * Compilers of shaders may compute as with real numbers, which is wrong where values are infinite, NaN or −0. What they could fold so is hidden
 * from them: one operand becomes a value that is what it was, but that no compiler knows.
 *
 *   x − x, (x + y) − x, x / x          are not 0, 0 + y, 1 for an infinite x
 *   a·b + a·c, a·2 − (a + a)           are not a·(b + c), 0
 *   (x + 1) − 1                        is not x, which may be −0
 *   x + y < x                          is not y < 0
 *   x < y ? x : y, !(x < y)            are not min(x, y), x >= y for NaN
 *   (x < y ? 1 : 0) − 1                is not −(x < y ? 0 : 1), which has −0 for 0
 *   0·x, 0 / x, 0 + x, 0 − x           are not 0, 0, x, −x
 *
 * In the last line 0 is any value that a driver may come to know: a literal, what is made of literals and of the numbers of loops, which may
 * be unrolled, a choice between such values by a condition, a truth as a number, and what a condition chooses that a range decides, such as
 * 0 > |x|. Products of what comes from memory stay as they are.
 */
import { isLiteral } from "../../ir/expression.js"
import { memoized } from "../../ir/memoized.js"
import type { Expression, OperationNode } from "../../ir/nodes.js"
import type { Operation } from "../../ir/operations.js"
import type { Context } from "../text/dialect.js"
import { argument } from "../text/literals.js"
import { typeText } from "./types.js"

type Known = Pick<Context, "definitions" | "counters">

/** The operands of `x` to hide. */
export function cancels(x: OperationNode, known: Known): readonly number[] {
  if (x.args.at(-1)!.dtype !== "f32") return []
  const [a, b] = x.args as [Expression, Expression]
  const vanishing = (through: Through) => [a, b].flatMap((e, i) => (mayVanish(e, known, through) ? [i] : []))
  switch (x.operation) {
    case "mul":
      return vanishing("choices")
    case "div":
      return [...(alike(a, b, known) ? [1] : []), ...vanishing("choices")]
    case "add":
    case "sub": {
      const at = [...joined(x, a, b, known), ...vanishing("numbers")]
      return at.length === 0 && mayBeKnown(x, known, "choices") ? [0] : at
    }
    case "select":
      return choosesCompared(x, known) ? [1] : []
    default:
      return comparisons.has(x.operation) && sharePart(a, b, known) ? [1] : []
  }
}

function joined({ operation }: OperationNode, a: Expression, b: Expression, known: Known): readonly number[] {
  // 2x is what it should be.
  if (operation === "add" && named(a, known) === named(b, known)) return []
  return sharePart(a, b, known) || (isShifted(a, known) && isShifted(b, known)) ? [1] : []
}

const comparisons: ReadonlySet<Operation> = new Set(["lt", "le", "gt", "ge", "eq", "ne"])

/** What a name stands for. */
function named(x: Expression, known: Known): Expression {
  const of = x.kind === "splat" ? x.of : x.kind === "variable" ? known.definitions.get(x.name) : undefined
  return of === undefined ? x : named(of, known)
}

/** How many choices, one in the other, are looked through. */
const choices = 4

/** The values that `x` is one of, without their signs and without the turn through their bits: compilers see through these. */
function sizes(x: Expression, known: Known, left = choices): readonly Expression[] {
  const given = named(x, known)
  if (given.kind !== "operation") return [given]
  const [first, second, third] = given.args as [Expression, Expression, Expression]
  const isOne = (e: Expression) => {
    const of = named(e, known)
    return isLiteral(of) && Math.abs(of.value) === 1
  }
  switch (given.operation) {
    case "neg":
      return sizes(first, known, left)
    case "mul":
      return isOne(second) ? sizes(first, known, left) : isOne(first) ? sizes(second, known, left) : [given]
    case "select":
      return left === 0 ? [given] : [given, ...[second, third].flatMap((e) => sizes(e, known, left - 1))]
    case "fromBits":
      return first.kind === "operation" && first.operation === "bits" ? sizes(first.args[0]!, known, left) : [given]
    default:
      return [given]
  }
}

/** Whether two values may be the same one, or one with two signs. */
function alike(a: Expression, b: Expression, known: Known, literals = true): boolean {
  const of = sizes(b, known)
  return sizes(a, known).some((e) => of.includes(e) && (literals || !isLiteral(e)))
}

/** The operands of an operation of these that a value may be; otherwise itself. */
const partsOf = (x: Expression, operations: readonly Operation[], known: Known): readonly Expression[] =>
  sizes(x, known).flatMap((e) => (e.kind === "operation" && operations.includes(e.operation) ? e.args : [e]))

/** Whether two values have a factor or a term in common, or one is a part of the other. */
function sharePart(a: Expression, b: Expression, known: Known): boolean {
  const parts = (x: Expression) => [x, ...partsOf(x, ["mul", "add", "sub"], known)]
  return parts(a).some((f) => !isLiteral(named(f, known)) && parts(b).some((g) => alike(f, g, known)))
}

/** Whether a value is a literal, or a literal is a term of it. */
const isShifted = (x: Expression, known: Known): boolean =>
  partsOf(x, ["add", "sub"], known).some((e) => isLiteral(named(e, known)))

/** Whether `x` chooses between what its condition compares. */
function choosesCompared(x: OperationNode, known: Known): boolean {
  const [condition, ...chosen] = x.args.map((a) => named(a, known)) as [Expression, Expression, Expression]
  const isNot = condition.kind === "operation" && condition.operation === "not"
  const of = isNot ? named(condition.args[0]!, known) : condition
  if (of.kind !== "operation" || !comparisons.has(of.operation)) return false
  return chosen.every((c) => of.args.some((a) => alike(a, c, known, false) || named(a, known) === c))
}

/**
 * Whether only what is one number is seen, or what is one of two as well: 0 or 1 as a factor makes a choice of a product, as a term nothing. Of
 * what is compared a range is enough: |x| < 0 is false.
 */
type Through = "numbers" | "choices" | "ranges"

/** What has a range, whatever it is given. */
const ranged: ReadonlySet<Operation> = new Set(["abs", "sign", "sqrt", "exp", "sin", "cos", "tanh"])

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
    const isRanged = ranged.has(of.operation) || (of.operation === "mul" && alike(first, rest[0]!, known))
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
