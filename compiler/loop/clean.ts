/**
 * clean: loop → loop. Simplifies integer expressions by the ranges of the loop variables, and drops what is never used or never runs.
 *
 *   for i < 4 { let r = (i + 8·j) mod 8; … }   →   r is i
 *   if (first + 4 <= 256) …                    →   the body, when 0 ≤ first ≤ 252
 *   let unused = …                             →   nothing
 *
 * Floor divisions are of indices, and indices do not wrap.
 */

import { add, apply, freeVariables, literal, mapOperands, mul, rewriter } from "../ir/expression.js"
import { fromLinear, linear } from "../ir/linear.js"
import { type LoopKernel, type Statement, workgroupNames } from "../ir/loop.js"
import { everyStatement, expressionsOf, mapExpressions, symbolsOf, withBodies } from "../ir/loop-visit.js"
import type { Expression, OperationNode } from "../ir/nodes.js"
import { everything, type Range, rangeOf } from "../ir/ranges.js"

export function clean(kernel: LoopKernel): LoopKernel {
  const known = createRanges()
  known.set("lane", { low: 0, high: kernel.threads - 1 })
  // A device may launch more of them, to fill a row.
  for (const name of workgroupNames) known.set(name, { low: 0, high: everything.high })
  const body = dropUnused(cleanBody(kernel.body, known))
  return { ...kernel, body, symbols: [...symbolsOf(body)].sort() }
}

/** What is known of names so far. */
interface Ranges {
  set(name: string, range: Range): void
  of(x: Expression): Range
  simplify(x: Expression): Expression
}

/** Names are bound before use. Where one is bound again elsewhere to other numbers, what was made under the first ones does not hold. */
function createRanges(): Ranges {
  const ranges = new Map<string, Range>()
  let simplify = simplifier(ranges)
  return {
    set: (name, range) => {
      const before = ranges.get(name)
      if (before !== undefined && (before.low !== range.low || before.high !== range.high))
        simplify = simplifier(ranges)
      ranges.set(name, range)
    },
    of: (x) => rangeOf(x, ranges),
    simplify: (x) => simplify(x),
  }
}

function cleanBody(body: readonly Statement[], known: Ranges): readonly Statement[] {
  const inside = (list: readonly Statement[]) => cleanBody(list, known)
  return body.flatMap((s): readonly Statement[] => {
    switch (s.kind) {
      case "for": {
        const extent = known.simplify(s.extent)
        if (extent.kind === "literal" && extent.value <= 0 && s.bind !== "grid" && s.bind !== "lane") return []
        known.set(s.variable, { low: 0, high: Math.max(0, known.of(extent).high - 1) })
        return [{ ...s, extent, body: inside(s.body) }]
      }
      case "if": {
        const condition = known.simplify(s.condition)
        if (condition.kind === "literal") return inside(condition.value ? s.body : s.otherwise)
        return [withBodies({ ...s, condition }, inside)]
      }
      case "block":
        return [withBodies(s, inside)]
      case "let": {
        const value = known.simplify(s.value)
        if (value.dtype === "i32" && value.width === 1 && !s.mutable) known.set(s.name, known.of(value))
        return [{ ...s, value }]
      }
      case "copy":
        return [cleanCopy(mapExpressions(s, known.simplify) as typeof s)]
      default:
        return [mapExpressions(s, known.simplify)]
    }
  })
}

/** A copy that is known to be of memory, or of zeros: then it does not matter where from. */
function cleanCopy({ valid, ...s }: Statement & { kind: "copy" }): Statement {
  if (valid?.kind !== "literal") return valid === undefined ? s : { ...s, valid }
  return valid.value !== 0 ? s : { ...s, valid, from: { ...s.from, offset: literal(0) } }
}

function simplifier(ranges: ReadonlyMap<string, Range>): (x: Expression) => Expression {
  return rewriter((x, again) => {
    const inner = mapOperands(x, again)
    return inner.kind === "operation" && inner.width === 1 ? simplifyOperation(inner, ranges) : inner
  })
}

function simplifyOperation(x: OperationNode, ranges: ReadonlyMap<string, Range>): Expression {
  const [a, b] = x.args as [Expression, Expression]
  if (a.dtype !== "i32") return x
  const left = rangeOf(a, ranges)
  switch (x.operation) {
    case "floordiv":
    case "floormod":
    case "div":
    case "rem": {
      if (b.kind !== "literal" || b.value <= 0) return x
      const n = b.value
      const remainder = x.operation === "floormod" || x.operation === "rem"
      if (left.low >= 0 && left.high < n) return remainder ? a : literal(0)
      const parts = splitMultiple(a, n, ranges)
      if (parts !== undefined && (left.low >= 0 || x.operation === "floordiv" || x.operation === "floormod"))
        return remainder ? parts.rest : parts.quotient
      const pieces = remainder && (left.low >= 0 || x.operation === "floormod") ? piecesOf(a, n, ranges) : undefined
      if (pieces !== undefined) return pieces
      if (left.low < 0) return x
      return apply(remainder ? "floormod" : "floordiv", a, b)
    }
    case "min":
    case "max": {
      const right = rangeOf(b, ranges)
      const smaller = x.operation === "min"
      if (left.high <= right.low) return smaller ? a : b
      if (right.high <= left.low) return smaller ? b : a
      return x
    }
    case "lt":
    case "le":
    case "gt":
    case "ge": {
      const right = rangeOf(b, ranges)
      const strict = x.operation === "lt" || x.operation === "gt"
      const [p, q] = x.operation === "lt" || x.operation === "le" ? [left, right] : [right, left]
      if (strict ? p.high < q.low : p.high <= q.low) return literal(1, "bool")
      if (strict ? p.low >= q.high : p.low > q.high) return literal(0, "bool")
      return x
    }
    default:
      return x
  }
}

/** x = quotient · n + rest with 0 ≤ rest < n, read off a sum. */
function splitMultiple(
  x: Expression,
  n: number,
  ranges: ReadonlyMap<string, Range>,
): { readonly quotient: Expression; readonly rest: Expression } | undefined {
  if (x.kind === "literal") {
    const quotient = Math.floor(x.value / n)
    return { quotient: literal(quotient), rest: literal(x.value - n * quotient) }
  }
  if (x.kind !== "operation") return undefined
  const [a, b] = x.args as [Expression, Expression]
  if (x.operation === "mul" && b.kind === "literal" && b.value % n === 0)
    return { quotient: apply("mul", a, literal(b.value / n)), rest: literal(0) }
  if (x.operation !== "add") return undefined
  for (const [p, q] of [
    [a, b],
    [b, a],
  ] as const) {
    const multiple = splitMultiple(p, n, ranges)
    if (multiple === undefined) continue
    const rest = apply("add", multiple.rest, q)
    const range = rangeOf(rest, ranges)
    if (range.low >= 0 && range.high < n) return { quotient: multiple.quotient, rest }
    const deeper = splitMultiple(q, n, ranges)
    if (deeper !== undefined) {
      const both = apply("add", multiple.rest, deeper.rest)
      const sum = rangeOf(both, ranges)
      if (sum.low >= 0 && sum.high < n)
        return { quotient: apply("add", multiple.quotient, deeper.quotient), rest: both }
    }
  }
  return undefined
}

/** Pieces that are worth being taken apart: of fewer, a loop over all of them is short. Not measured. */
const manyPieces = 16

/** x mod n of pieces that n is a multiple of: (8·i + j) mod 24 with 0 ≤ j < 8 is 8·(i mod 3) + j, of which i mod 3 stands still in a loop over j. */
function piecesOf(x: Expression, n: number, ranges: ReadonlyMap<string, Range>): Expression | undefined {
  const { terms, constant } = linear(x)
  const sizes = new Set([...terms.values()].map((c) => divisor(Math.abs(c), n)).filter((c) => c > 1 && c < n))
  for (const size of [...sizes].sort((a, b) => b - a)) {
    if (n / size < manyPieces) continue
    const outer = new Map([...terms].filter(([, c]) => c % size === 0))
    const inner = fromLinear({ terms: new Map([...terms].filter(([e]) => !outer.has(e))), constant })
    const { low, high } = rangeOf(inner, ranges)
    if (low < 0 || high >= size) continue
    const piece = fromLinear({ terms: new Map([...outer].map(([e, c]) => [e, c / size])), constant: 0 })
    return add(mul(apply("floormod", piece, literal(n / size)), literal(size)), inner)
  }
  return undefined
}

function divisor(a: number, b: number): number {
  return b === 0 ? a : divisor(b, a % b)
}

/** Removes names that nothing reads; expressions have no effects. */
function dropUnused(body: readonly Statement[]): readonly Statement[] {
  let now = body
  for (;;) {
    const used = new Set<string>()
    for (const s of everyStatement(now)) for (const x of expressionsOf(s)) for (const n of freeVariables(x)) used.add(n)
    let dropped = false
    const visit = (list: readonly Statement[]): readonly Statement[] =>
      list.flatMap((s): readonly Statement[] => {
        if ((s.kind === "let" || s.kind === "assign") && !used.has(s.name)) {
          dropped = true
          return []
        }
        return [withBodies(s, visit)]
      })
    now = visit(now)
    if (!dropped) return now
  }
}
