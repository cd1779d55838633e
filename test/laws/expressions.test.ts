/**
 * Integer expressions: what the constructors fold and what clean simplifies under ranges keeps the value at every point of the ranges, and a range
 * holds every value.
 */

import fc from "fast-check"
import { test } from "vitest"
import { apply, evaluate, literal, print, symbol, variable, withTable } from "../../compiler/ir/expression.js"
import type { LoopKernel, Statement } from "../../compiler/ir/loop.js"
import type { Expression } from "../../compiler/ir/nodes.js"
import { type Operation, operation, roundTo } from "../../compiler/ir/operations.js"
import { rangeOf } from "../../compiler/ir/ranges.js"
import { clean } from "../../compiler/loop/clean.js"
import { Choices } from "./choices.js"
import { law } from "./settings.js"

interface Drawn {
  readonly numbers: readonly number[]
  readonly extents: readonly number[]
}

const drawn: fc.Arbitrary<Drawn> = fc.record({
  numbers: fc.array(fc.nat(9999), { minLength: 3, maxLength: 60, size: "max" }),
  extents: fc.tuple(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 4 })),
})

const names = ["i", "j", "k"]
const constants = [1, 2, 4, 3, 8, 0, -1, 5, 16, 12, -4]

/** What an expression should be, without a constructor that folds: a tree of names. */
interface Plain {
  readonly value: (at: ReadonlyMap<string, number>) => number
  readonly x: Expression
}

/** `index`: the dividend of a floor division, an index, which clean takes not to wrap. */
function tree(choose: Choices, depth: number, index = false): Plain {
  const kind = choose.below(depth <= 0 ? 3 : 15)
  const leaf = (x: Expression, value: Plain["value"]): Plain => ({ x, value })
  if (kind === 0) {
    const name = choose.of(names)
    return leaf(variable(name), (at) => at.get(name)!)
  }
  if (kind === 1) {
    const n = choose.of(constants)
    return leaf(literal(n), () => n)
  }
  if (kind === 2) return leaf(symbol("n", 6, 3), (at) => at.get("n")!)
  if (kind === 3 || kind === 4) {
    const name = choose.of(["floordiv", "floormod", "div", "rem"] as const)
    const p = tree(choose, depth - 1, index || name === "floordiv" || name === "floormod")
    const n = choose.of([2, 4, 3, 1, 8, 5, 12])
    return node(
      name,
      p,
      leaf(literal(n), () => n),
    )
  }
  if (kind === 14) {
    // What goes round in pieces.
    const size = choose.of([4, 3, 8, 5])
    const pieces = choose.of([16, 20, 33])
    const number = (n: number) => leaf(literal(n), () => n)
    const name = choose.of(names)
    const first = node("mul", tree(choose, depth - 2, true), number(size))
    const within = leaf(variable(name), (at) => at.get(name)!)
    return node("floormod", node("add", first, within), number(size * pieces))
  }
  const p = tree(choose, depth - 1, index)
  const q = tree(choose, depth - 1, index)
  if (kind <= 9) return node(choose.of(["add", "mul", "sub", "add", "min", "max"] as const), p, q)
  if (kind === 10)
    return node(
      choose.of(["bitand", "bitor", "shl", "shr", "bitxor"] as const),
      p,
      leaf(literal(3), () => 3),
    )
  if (kind === 11 && !index)
    return node(
      "mul",
      p,
      leaf(literal(1 << 29), () => 1 << 29),
    )
  const c = node(choose.of(["lt", "le", "gt", "ge", "eq", "ne"] as const), p, q)
  const r = tree(choose, depth - 1, index)
  return { x: apply("select", c.x, p.x, r.x), value: (at) => (c.value(at) ? p.value(at) : r.value(at)) }
}

/** Values by the table of operations alone. */
function node(name: Operation, p: Plain, q: Plain): Plain {
  const x = apply(name, p.x, q.x)
  const dtype = p.x.dtype
  return { x, value: (at) => roundTo(x.dtype, operation(name).evaluate(dtype, p.value(at), q.value(at))) }
}

function* points(extents: readonly number[]): Generator<ReadonlyMap<string, number>> {
  const [a, b, c] = extents as [number, number, number]
  for (const n of [0, 1, 6])
    for (let i = 0; i < a; i++)
      for (let j = 0; j < b; j++)
        for (let k = 0; k < c; k++)
          yield new Map([
            ["i", i],
            ["j", j],
            ["k", k],
            ["n", n],
          ])
}

/** A kernel that stores x under loops over i, j and k, so that clean knows the ranges. */
function kernelOf(x: Expression, extents: readonly number[]): LoopKernel {
  const loop = (
    name: string,
    extent: number,
    bind: "grid" | "lane" | "serial",
    body: readonly Statement[],
  ): Statement => ({
    kind: "for",
    variable: name,
    extent: literal(extent),
    bind,
    body,
  })
  const store: Statement = { kind: "store", array: "y", offset: literal(0), value: x }
  const inner = names.reduceRight<readonly Statement[]>((body, n, i) => [loop(n, extents[i]!, "serial", body)], [store])
  return {
    name: "k",
    buffers: [{ name: "y", dtype: "i32", storage: "i32", size: literal(1), access: "write" }],
    symbols: ["n"],
    threads: 1,
    groups: 1,
    body: [loop("group", 1, "grid", [loop("lane", 1, "lane", inner)])],
  }
}

function stored(body: readonly Statement[]): Expression {
  const [first] = body
  if (first?.kind === "for") return stored(first.body)
  if (first?.kind === "store") return first.value
  throw new Error("the store is gone")
}

const text = ({ numbers, extents }: Drawn) =>
  withTable(() => {
    const { x } = tree(new Choices(numbers), 5)
    return `${print(x)}   →   ${print(stored(clean(kernelOf(x, extents)).body))}   for i, j, k < ${extents}`
  })

test("folding and cleaning keep the value of integer expressions", () => {
  law(
    "expressions",
    drawn,
    1500,
    ({ numbers, extents }) => {
      withTable(() => {
        const { x, value } = tree(new Choices(numbers), 5)
        const simple = stored(clean(kernelOf(x, extents)).body)
        for (const at of points(extents)) {
          const expected = value(at)
          if (evaluate(x, at) !== expected) throw new Error(`folded to ${evaluate(x, at)}, not ${expected}`)
          if (evaluate(simple, at) !== expected) throw new Error(`cleaned to ${evaluate(simple, at)}, not ${expected}`)
        }
      })
    },
    text,
  )
})

test("the range of an expression holds its values", () => {
  law(
    "ranges",
    drawn,
    1500,
    ({ numbers, extents }) => {
      withTable(() => {
        const { x, value } = tree(new Choices(numbers), 4)
        const ranges = new Map(names.map((n, i) => [n, { low: 0, high: extents[i]! - 1 }]))
        const { low, high } = rangeOf(x, ranges)
        for (const at of points(extents)) {
          const v = value(at)
          if (v < low || v > high) throw new Error(`${v} is not in ${low} … ${high}`)
        }
      })
    },
    text,
  )
})
