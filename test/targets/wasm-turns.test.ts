/** Turns of sums of words: names are bound where they are needed, unless what they read changes before; and the kernel stores what it did. */
import { expect, test } from "vitest"
import { add, apply, fetch, literal, splat, variable } from "../../compiler/ir/expression.js"
import type { Statement } from "../../compiler/ir/loop.js"
import type { Expression } from "../../compiler/ir/nodes.js"
import { inTurns, isSumOfWords } from "../../compiler/targets/wasm/turns.js"

const words = (array: string) => fetch(array, literal(0), "u32", 4)
const bind = (name: string, value: Expression): Statement => ({ kind: "let", name, value, mutable: false })
const name = (n: string) => variable(n, "u32", 4)
const sum = (n: string, a: Expression, b: Expression): Statement => ({
  kind: "assign",
  name: n,
  value: add(variable(n, "f32", 4), apply("toF32", apply("dot2", a, b))),
})

test("what several sums share comes first, the rest before its own sum; what reads a sum stays behind it", () => {
  const w = bind("w", words("w"))
  const [a, b] = [bind("a", words("x")), bind("b", words("y"))]
  const read = bind("c", apply("toU32", variable("s", "f32", 4)))
  const [s, t] = [sum("s", name("w"), name("a")), sum("t", name("w"), name("b"))]
  const last = sum("t", name("c"), name("b"))
  expect(inTurns([w, a, b, s, t])).toEqual([a, w, s, b, t])
  const loop: Statement = {
    kind: "for",
    variable: "k",
    extent: literal(8),
    bind: "serial",
    body: [read, w, a, b, s, t, last],
  }
  expect(inTurns([loop])).toEqual([{ ...loop, body: [read, a, w, s, b, t, last] }])
  expect([w, s].map(isSumOfWords)).toEqual([false, true])
})

test("a sum that is a name of its own stays where it is, and what it reads is bound in front of it", () => {
  const [w, v] = [bind("w", words("w")), bind("v", words("v"))]
  const [a, b] = [bind("a", words("x")), bind("b", words("y"))]
  const [p, q] = [bind("p", apply("dot2", name("w"), name("a"))), bind("q", apply("dot2", name("v"), name("b")))]
  const both = bind("both", add(variable("p", "i32", 4), variable("q", "i32", 4)))
  expect([p, q, both].map(isSumOfWords)).toEqual([true, true, false])
  expect(inTurns([w, v, a, b, p, q, both])).toEqual([a, w, p, b, v, q, both])
})

test("other turns are left as they are", () => {
  const [a, b] = [bind("a", words("x")), bind("b", words("y"))]
  const plain: Statement = { kind: "assign", name: "s", value: splat(literal(1, "f32"), 4) }
  const store: Statement = { kind: "store", array: "x", offset: literal(0), value: name("a") }
  const turns: readonly (readonly Statement[])[] = [
    [a, b, plain, sum("t", name("b"), name("a"))],
    [a, b, store, sum("s", name("b"), name("a")), sum("t", name("a"), name("b"))],
  ]
  for (const turn of turns) expect(inTurns(turn)).toEqual(turn)
})
