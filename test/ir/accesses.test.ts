/** Which accesses of loops are proven to lie in their arrays: small kernels, each with a fault beside it that is not proven. */
import { describe, expect, test } from "vitest"
import {
  add,
  apply,
  fetch,
  literal,
  mul,
  splat,
  sub,
  symbol,
  variable,
  withTable,
} from "../../compiler/ir/expression.js"
import type { LoopBuffer, LoopKernel, Statement } from "../../compiler/ir/loop.js"
import type { Expression } from "../../compiler/ir/nodes.js"
import { describeUnproven, proveAccesses } from "../../compiler/ir/verify/accesses.js"
import { clampAccesses } from "../../compiler/loop/clamp-accesses.js"

const n = literal
const [i, j, group, lane] = ["i", "j", "group", "lane"].map((name) => variable(name)) as [
  Expression,
  Expression,
  Expression,
  Expression,
]
const seq = () => symbol("seq", 128, 64)
const past = () => symbol("past", 4096, 512)
const zero = literal(0, "f32")

const buffer = (name: string, size: number, dtype: LoopBuffer["dtype"] = "f32"): LoopBuffer => ({
  name,
  dtype,
  storage: dtype,
  size: n(size),
  access: "readwrite",
})
const loop = (name: string, extent: Expression, body: readonly Statement[], bind: "serial" | "grid" = "serial") =>
  ({ kind: "for", variable: name, extent, bind, body }) as const satisfies Statement
const store = (array: string, offset: Expression, value: Expression = zero): Statement => ({
  kind: "store",
  array,
  offset,
  value,
})
const named = (name: string, value: Expression, mutable = false): Statement => ({ kind: "let", name, value, mutable })
const when = (condition: Expression, body: readonly Statement[]): Statement => ({
  kind: "if",
  condition,
  body,
  otherwise: [],
})

/** A kernel of `groups` blocks of 4 lanes. */
const kernel = (
  body: readonly Statement[],
  buffers: readonly LoopBuffer[],
  groups: Expression = n(1),
  allocs: readonly Statement[] = [],
): LoopKernel => ({
  name: "k",
  buffers,
  symbols: [],
  threads: 4,
  groups: 8,
  body: [
    loop("group", groups, [...allocs, { kind: "for", variable: "lane", extent: n(4), bind: "lane", body }], "grid"),
  ],
})

const isProven = (k: LoopKernel, assumed: readonly Expression[] = []): boolean =>
  proveAccesses(k, assumed).unproven.length === 0

/** What is proven of y when it has `size` elements, and not when it has one less. */
const fits = (size: number, make: () => { readonly body: readonly Statement[]; readonly groups?: Expression }) =>
  withTable(() => {
    const { body, groups } = make()
    expect(proveAccesses(kernel(body, [buffer("y", size)], groups)).unproven.map(describeUnproven)).toEqual([])
    expect(isProven(kernel(body, [buffer("y", size - 1)], groups))).toBe(false)
  })

describe("proven, and not of an array with one element less:", () => {
  test("loops of known extents", () =>
    fits(64, () => ({ body: [loop("i", n(16), [store("y", add(mul(i, n(4)), lane))])] })))

  test("vectors, as wide as they are", () =>
    fits(64, () => ({ body: [loop("i", n(4), [store("y", add(mul(i, n(16)), mul(lane, n(4))), splat(zero, 4))])] })))

  test("a symbol at its largest", () =>
    fits(128 * 8, () => ({ body: [loop("i", seq(), [store("y", add(mul(i, n(8)), add(lane, n(4))))])] })))

  test("blocks of which the last is not full", () =>
    fits(128, () => ({
      groups: apply("floordiv", add(seq(), n(63)), n(64)),
      body: [
        loop("i", n(16), [
          named("row", add(add(mul(group, n(64)), mul(i, n(4))), lane)),
          when(apply("lt", variable("row"), seq()), [store("y", variable("row"))]),
        ]),
      ],
    })))

  test("rows that are kept inside, and their places in a block", () =>
    fits(64, () => ({
      groups: apply("floordiv", add(seq(), n(63)), n(64)),
      body: [
        loop("i", n(16), [
          named("row", apply("min", add(add(mul(group, n(64)), mul(i, n(4))), lane), sub(seq(), n(1)))),
          store("y", sub(variable("row"), mul(group, n(64)))),
        ]),
      ],
    })))

  test("quotients and remainders of one number", () =>
    fits(6 * 7 - 1, () => ({
      body: [
        loop("i", n(24), [
          store("y", add(mul(apply("floordiv", i, n(4)), n(7)), apply("floormod", i, n(4)))),
          store("y", add(mul(apply("floordiv", i, n(4)), n(7)), n(5))),
        ]),
      ],
    })))

  test("blocks numbered along two axes, one of them open", () =>
    fits(128 * 3, () => ({
      groups: mul(seq(), n(3)),
      body: [
        named("row", apply("rem", group, seq())),
        named("column", apply("div", group, seq())),
        store("y", add(mul(variable("row"), n(3)), variable("column"))),
      ],
    })))

  test("parts of one number, chosen by what it lies below, in blocks behind others", () =>
    fits(128 * 2, () => {
      const rest = (x: Expression, by: number) => apply("floormod", x, n(by))
      const times = (x: Expression, by: number) => apply("floordiv", x, n(by))
      const twice = mul(seq(), n(2))
      const others = times(add(twice, n(21)), 22)
      const behind = sub(group, others)
      const place = add(
        mul(apply("div", behind, n(4)), n(32)),
        add(times(i, 32), mul(apply("rem", behind, n(4)), n(8))),
      )
      const below = (x: Expression) => apply("select", apply("lt", place, twice), x, n(0))
      const at = add(mul(below(times(place, 2)), n(2)), below(rest(place, 2)))
      return {
        groups: add(others, mul(times(add(twice, n(31)), 32), n(4))),
        body: [
          loop("i", n(256), [
            { kind: "if", condition: apply("lt", group, others), body: [], otherwise: [store("y", at)] },
          ]),
        ],
      }
    }))

  test("what is left of an axis", () =>
    fits(30, () => ({
      body: [
        loop("i", n(8), [
          loop("j", apply("max", n(0), apply("min", n(4), sub(n(30), mul(i, n(4))))), [
            store("y", add(mul(i, n(4)), j)),
          ]),
        ]),
      ],
    })))

  test("a choice by a condition that says where it lies", () =>
    fits(10, () => {
      const back = sub(i, n(2))
      const inside = apply("and", apply("ge", back, n(0)), apply("lt", back, n(10)))
      return { body: [loop("i", n(14), [store("y", apply("select", inside, back, n(0)))])] }
    }))

  test("levels of a binary counter", () =>
    fits(4, () => {
      const done = variable("done")
      const exponent = (x: Expression) =>
        apply("toI32", apply("shr", apply("bits", apply("toF32", x)), literal(23, "u32")))
      return {
        body: [
          named("runs", n(0), true),
          loop("i", n(15), [
            named("done", add(variable("runs"), n(1))),
            store("y", sub(exponent(apply("bitand", done, apply("neg", done))), n(127))),
            { kind: "assign", name: "runs", value: done },
          ]),
        ],
      }
    }))
})

describe("not proven:", () => {
  const inY = (offset: Expression, more: readonly Statement[] = []) =>
    kernel([...more, store("y", offset)], [buffer("y", 64), buffer("index", 4, "i32")])

  test("what memory says, but what is kept inside is", () =>
    withTable(() => {
      const at = fetch("index", lane, "i32")
      const below = apply("min", at, n(63))
      expect(isProven(inY(at))).toBe(false)
      expect(isProven(inY(below))).toBe(false)
      expect(isProven(inY(apply("max", at, n(0))))).toBe(false)
      expect(isProven(inY(apply("max", below, n(0))))).toBe(true)
    }))

  test("what memory said before it was stored to", () =>
    withTable(() => {
      const at = fetch("index", lane, "i32")
      const inside = apply("and", apply("ge", at, n(0)), apply("lt", at, n(64)))
      expect(isProven(kernel([when(inside, [store("y", at)])], [buffer("y", 64), buffer("index", 4, "i32")]))).toBe(
        false,
      )
      const kept = [
        named("at", at),
        when(apply("and", apply("ge", variable("at"), n(0)), apply("lt", variable("at"), n(64))), [
          store("y", variable("at")),
        ]),
      ]
      expect(isProven(kernel(kept, [buffer("y", 64), buffer("index", 4, "i32")]))).toBe(true)
    }))

  test("a variable that is assigned", () =>
    withTable(() => {
      const assign: Statement = { kind: "assign", name: "at", value: fetch("index", lane, "i32") }
      expect(isProven(inY(variable("at"), [named("at", n(0), true), assign]))).toBe(false)
      const twice: Statement = { kind: "assign", name: "at", value: add(variable("at"), variable("at")) }
      expect(isProven(inY(variable("at"), [named("at", n(1), true), loop("i", n(9), [twice])]))).toBe(false)
    }))

  test("an offset that wraps, though its bits would fit", () =>
    withTable(() => {
      const far = mul(lane, n(2 ** 30))
      expect(isProven(inY(apply("bitand", far, n(63))))).toBe(true)
      expect(isProven(inY(apply("floordiv", apply("max", far, n(0)), n(2 ** 24))))).toBe(false)
      const wide = symbol("wide", 2 ** 31 - 1, 1)
      expect(isProven(inY(apply("min", wide, n(63))))).toBe(true)
      expect(isProven(inY(apply("min", add(wide, n(1)), n(63))))).toBe(false)
      expect(isProven(inY(apply("min", mul(wide, n(2)), n(63))))).toBe(false)
    }))

  test("a counter that may wrap", () =>
    withTable(() => {
      const wide = symbol("wide", 2 ** 31 - 1, 1)
      expect(isProven(kernel([store("y", lane)], [buffer("y", 4)], wide))).toBe(false)
      expect(isProven(kernel([loop("i", wide, [store("y", lane)])], [buffer("y", 4)]))).toBe(true)
    }))

  test("a shuffled number, or one that a branch of the other condition gives", () =>
    withTable(() => {
      const shuffle: Statement = { kind: "shuffle", name: "other", value: lane, mask: 1 }
      expect(isProven(inY(variable("other"), [shuffle]))).toBe(false)
      const at = sub(i, n(2))
      const wrong = apply("select", apply("lt", at, n(0)), at, n(0))
      expect(isProven(kernel([loop("i", n(8), [store("y", wrong)])], [buffer("y", 64)]))).toBe(false)
    }))

  test("rows behind the past, unless there is room for them", () =>
    withTable(() => {
      const k = kernel([loop("i", seq(), [store("y", add(past(), i))])], [buffer("y", 4096)])
      const room = (size: number) => [sub(n(size), add(past(), seq()))]
      expect(isProven(k)).toBe(false)
      expect(isProven(k, room(4096))).toBe(true)
      // The wrong inequality.
      expect(isProven(k, room(4097))).toBe(false)
      expect(isProven(k, [sub(n(4096), past())])).toBe(false)
    }))

  test("a row before the first, unless there is one", () =>
    withTable(() => {
      const k = kernel([store("y", sub(seq(), n(1)))], [buffer("y", 128)])
      expect(isProven(k)).toBe(false)
      expect(isProven(k, [sub(seq(), n(1))])).toBe(true)
    }))
})

test("what is not proven is clamped, and then it is", () =>
  withTable(() => {
    const at = fetch("index", lane, "i32")
    const wide = fetch("x", mul(at, n(4)), "f32", 4)
    const body = [named("v", wide), store("y", at)]
    const k = kernel(body, [buffer("x", 18), buffer("y", 64), buffer("index", 4, "i32")])
    const { loops, clamped, unproven } = clampAccesses(k, [])
    expect(unproven).toEqual([])
    expect(clamped).toBe(2)
    expect(isProven(loops)).toBe(true)
    expect(clampAccesses(loops, [])).toEqual({ loops, clamped: 0, unproven: [] })
    const none = clampAccesses(kernel([store("y", at)], [buffer("y", 0), buffer("index", 4, "i32")]), [])
    expect(none.unproven.length).toBe(1)
  }))
