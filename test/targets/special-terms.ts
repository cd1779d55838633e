/**
 * Small terms over special values, in loops that drivers unroll: what a compiler of shaders may fold by the algebra of real numbers, and what is
 * then not what the table of operations says.
 *
 *   x · (i == 0 ? 0 : y)   →   0 in the first iteration, and NaN is wanted where x is infinite
 *
 * Numbers are small, so that all that is finite is exact, but for quotients; zeros have signs.
 */
import { compileScalar } from "../../compiler/interpret/scalar.js"
import { add, apply, fetch, lane, literal, mul, splat, variable } from "../../compiler/ir/expression.js"
import type { LoopKernel, Statement } from "../../compiler/ir/loop.js"
import type { Expression } from "../../compiler/ir/nodes.js"
import { Choices } from "../laws/choices.js"

const values = [0, -0, 1, -1, 2, -3, 0.5, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN]
/** Of x and y: all pairs of values. */
const points = values.flatMap((x) => values.map((y) => [x, y] as const))
export const given = Float32Array.from([...points.map(([x]) => x), ...points.map(([, y]) => y)])
const iterations = 3
export const wordsOfTerm = iterations * points.length
const threads = 128

export interface Term {
  readonly term: Expression
  readonly width: 1 | 4
  /** Whether the printer unrolls its loop; otherwise the driver does, for the loop walks over registers. */
  readonly unrolled: boolean
}

const [x, y, i] = [variable("x", "f32"), variable("y", "f32"), variable("i")]
const real = (value: number) => literal(value, "f32")

const leaves: readonly ((choose: Choices) => Expression)[] = [
  () => x,
  () => y,
  () => x,
  () => apply("toF32", i),
  (c) => real(c.of([0, 1, -1, 2, -0])),
  (c) => {
    const [first, other] = [c.of([real(0), real(1), x]), c.of([y, real(0)])]
    return apply("select", apply("eq", i, literal(c.below(iterations))), first, other)
  },
  () => apply("toF32", apply("lt", y, real(1))),
  () => apply("sub", apply("toF32", i), real(1)),
]

const arithmetic = ["mul", "add", "sub", "mul", "add", "sub", "div", "min", "max"] as const
const comparisons = ["lt", "le", "gt", "ge", "eq", "ne"] as const

function draw(choose: Choices, depth: number): Expression {
  if (depth === 0 || choose.chance(15)) return choose.of(leaves)(choose)
  const kind = choose.below(10)
  const [a, b] = [draw(choose, depth - 1), draw(choose, depth - 1)]
  const either = (): [Expression, Expression] => (choose.chance(50) ? [a, b] : [b, a])
  // Terms that may cancel have parts in common.
  if (kind < 6)
    return apply(choose.of(arithmetic), a, choose.chance(40) ? apply(choose.of(arithmetic), ...either()) : b)
  if (kind === 6) return apply(choose.of(["neg", "abs", "floor"] as const), a)
  const compared = apply(choose.of(comparisons), a, b)
  const condition = choose.chance(30) ? apply("not", compared) : compared
  return kind < 9 ? apply("select", condition, ...either()) : apply("toF32", condition)
}

/** Of square roots; nothing is computed from what is rounded so. */
const rooted: readonly ((a: Expression, b: Expression) => Expression)[] = [
  (a, b) => apply("mul", apply("sqrt", a), apply("sqrt", b)),
  (a) => apply("mul", apply("sqrt", a), apply("sqrt", a)),
  (a) => apply("div", a, apply("sqrt", a)),
]

export function termOf(numbers: readonly number[]): Term {
  const choose = new Choices(numbers)
  const [unrolled, width] = [choose.chance(30), choose.chance(20) ? 4 : 1] as const
  if (choose.chance(5)) return { unrolled, width, term: choose.of(rooted)(draw(choose, 1), draw(choose, 1)) }
  return { unrolled, width, term: draw(choose, 1 + choose.below(3)) }
}

/** Each term for all iterations and points. */
export function kernelOf(terms: readonly Term[]): LoopKernel {
  const number = variable("lane")
  const read = (name: string, from: number): Statement => {
    return { kind: "let", name, value: fetch("given", add(number, literal(from)), "f32"), mutable: false }
  }
  const inside = apply("lt", number, literal(points.length))
  const body = [read("x", 0), read("y", points.length), ...terms.flatMap((t, n) => loopsOf(t, n, number))]
  const guarded: Statement = { kind: "if", condition: inside, body, otherwise: [] }
  const lanes: Statement = { kind: "for", variable: "lane", extent: literal(threads), bind: "lane", body: [guarded] }
  const grid: Statement = { kind: "for", variable: "group", extent: literal(1), bind: "grid", body: [lanes] }
  const buffer = (name: string, size: number, access: "read" | "write") =>
    ({ name, dtype: "f32", storage: "f32", size: literal(size), access }) as const
  const buffers = [buffer("given", given.length, "read"), buffer("found", terms.length * wordsOfTerm, "write")]
  return { name: "terms", buffers, symbols: [], threads, groups: 1, body: [grid] }
}

function loopsOf({ term, unrolled, width }: Term, n: number, point: Expression): readonly Statement[] {
  const place = add(mul(add(i, literal(n * iterations)), literal(points.length)), point)
  const loop = (bind: "serial" | "unroll", ...body: Statement[]): Statement => {
    return { kind: "for", variable: "i", extent: literal(iterations), bind, body }
  }
  const value = width === 1 ? term : widened(term)
  if (unrolled) return [loop("unroll", { kind: "store", array: "found", offset: place, value: lane(value, 0) })]
  const kept = `kept${n}`
  return [
    { kind: "alloc", name: kept, dtype: "f32", size: iterations, space: "register" },
    loop("serial", { kind: "store", array: kept, offset: i, value: lane(value, 0) }),
    loop("serial", { kind: "store", array: "found", offset: place, value: fetch(kept, i, "f32") }),
  ]
}

/** The same term on vectors. */
function widened(x: Expression): Expression {
  return x.kind === "operation" ? apply(x.operation, ...x.args.map(widened)) : splat(x, 4)
}

/** What is wrong with what a term has left, if anything. */
export function wrongOf({ term }: Term, found: Float32Array): string | undefined {
  const value = compileScalar(term, ["x", "y", "i"])
  for (let n = 0; n < iterations; n++)
    for (const [p, [a, b]] of points.entries()) {
      const [wanted, got] = [value(a, b, n), found[n * points.length + p]!]
      const near = wanted !== 0 && Math.abs(wanted - got) <= 1e-5 * Math.abs(wanted)
      if (!near && !Object.is(wanted, got))
        return `x ${text(a)}, y ${text(b)}, iteration ${n}: ${text(got)}, not ${text(wanted)}`
    }
  return undefined
}

const text = (v: number) => (Object.is(v, -0) ? "-0" : String(v))
