import { expect, test } from "vitest"
import { add, apply, literal, sub, symbol, variable } from "../../compiler/ir/expression.js"
import { max, sum, top } from "../../compiler/ir/monoid.js"
import type { Expression } from "../../compiler/ir/nodes.js"
import { printTensor } from "../../compiler/ir/print/tensor.js"
import * as ir from "../../compiler/ir/tensor.js"

const axis = (name: string, extent: number | Expression): ir.Axis => ({
  name,
  extent: typeof extent === "number" ? literal(extent) : extent,
})
const [p, q] = [variable("$0", "f32"), variable("$1", "f32")]
const rows = symbol("rows", 64, 1)
const past = symbol("past", 64, 8)

test("a contraction, with the place where it was written", () => {
  const x = ir.input("x", "input", [axis("seq", rows), axis("embed", 64)], "f32", "f32", [64, 64])
  const w = ir.input("w", "weight", [axis("embed", 64), axis("out", 8)], "f32", "bf16", [64, 8])
  const y = ir.reduce(sum, "embed", [ir.map(apply("mul", p, q), [x, w])])
  ir.mark(y, [
    { file: "layers.ts", line: 2, column: 3 },
    { file: "model.ts", line: 4, column: 11 },
  ])
  expect(`\n${printTensor([y])}`).toBe(`
%0 = input x input : [seq: rows, embed: 64] f32
%1 = input w weight as bf16 : [embed: 64, out: 8] f32
%2 = map ($0 * $1) of %0, %1 : [seq, embed, out] f32
%3 = reduce sum over embed of %2 : [seq, out] f32   at model.ts:4:11
return %3`)
})

test("every kind of node", () => {
  const x = ir.input("x", "input", [axis("seq", rows), axis("c", 6)], "f32", "f32", [64, 6])
  const table = ir.constant([axis("n", 5)], [1, 2.5, 3, 4, 5], "f32")
  const best = ir.reduce(top(2), "c", [x], 1, "slot")
  const picked = ir.gather(table, "n", best)
  const shifted = ir.reindex(
    x,
    x.axes,
    new Map<string, Expression>([
      ["seq", variable("seq")],
      ["c", sub(variable("c"), literal(1))],
    ]),
    apply("ge", variable("c"), literal(1)),
    7,
  )
  const state = ir.input("keys", "state", [axis("key", past), axis("c", 6)], "f32", "bf16", [64, 6])
  const renamed = ir.reindex(
    shifted,
    [axis("key", rows), axis("c", 6)],
    new Map([
      ["seq", variable("key")],
      ["c", variable("c")],
    ]),
  )
  const grown = ir.update(state, "key", past, renamed, add(past, rows))
  const whole = ir.input("whole", "state", x.axes, "f32", "f32", [64, 6])
  const position = ir.iota(axis("seq", rows), past)
  const u = ir.input("u", "input", x.axes, "f32", "f32", [0, 0])
  const layer = ir.unit("layer", [u], [ir.map(apply("exp", p), [u]), ir.scan(max, "seq", u)])
  expect(
    `\n${printTensor([picked, grown, position, ir.call(layer, [x], 1), ir.update(whole, undefined, literal(0), x)])}`,
  ).toBe(`
%0 = constant 1, 2.5, 3, 4, … : [n: 5] f32
%1 = input x input : [seq: rows, c: 6] f32
%2 = reduce top2.1 over c of %1 into slot : [seq, slot: 2] i32
%3 = gather %0 at n = %2 : [seq, slot] f32
%4 = input keys state as bf16 : [key: past, c: 6] f32
%5 = reindex %1 at c = (c + -1) where (c >= 1) else 7 : [seq: rows, c: 6] f32
%6 = reindex %5 at seq = key : [key: rows, c: 6] f32
%7 = update %4 at key = past by %6 : [key: (past + rows), c: 6] f32
%8 = iota from past : [seq: rows] i32
%9 = call layer.1 of %1 : [seq: rows, c: 6] f32
%10 = input whole state : [seq: rows, c: 6] f32
%11 = update %10 by %1 : [seq: rows, c: 6] f32
return %3, %7, %8, %9, %11

unit layer(u)
  %0 = input u input : [seq: rows, c: 6] f32
  %1 = map exp($0) of %0 : [seq, c] f32
  %2 = scan max over seq of %0 : [seq, c] f32
  return %1, %2`)
})
