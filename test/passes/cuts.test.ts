/** How much of a program is looked at to decide where one tensor lies. */

import { expect, test } from "vitest"
import { apply, literal, variable, withTable } from "../../compiler/ir/expression.js"
import { sum } from "../../compiler/ir/monoid.js"
import type { Expression } from "../../compiler/ir/nodes.js"
import { topological } from "../../compiler/ir/tensor/walk.js"
import * as ir from "../../compiler/ir/tensor.js"
import { crowded } from "../../compiler/kernel/crowded.js"
import { chooseCuts, readersOf } from "../../compiler/kernel/cuts.js"
import { wasmTarget } from "../../compiler/targets/target.js"
import { groupGathers } from "../../compiler/tensor/group-gathers.js"

const axis = (name: string): ir.Axis => ({ name, extent: literal(8) })

/** Contractions one after the other, each of which has a buffer. */
function layers(count: number) {
  const weight = ir.input("w", "weight", [axis("a"), axis("b")], "f32", "f32", [8, 8])
  let x: ir.Tensor = ir.input("x", "input", [axis("a")], "f32", "f32", [8])
  const maps: ir.Tensor[] = []
  const buffers = new Set<ir.Tensor>()
  for (let i = 0; i < count; i++) {
    const y = ir.map(apply("exp", variable("$0", "f32")), [x])
    maps.push(y)
    const product = ir.map(apply("mul", variable("$0", "f32"), variable("$1", "f32")), [y, weight])
    const folded = ir.reduce(sum, "a", [product])
    x = ir.reindex(folded, [axis("a")], new Map([["b", variable("a")]]))
    buffers.add(folded)
  }
  return { maps, buffers, order: topological([x]) }
}

test.each([4, 40, 400])("a tensor is asked of its own kernel alone, among %s", (count) =>
  withTable(() => {
    const { maps, buffers, order } = layers(count)
    for (const t of [maps[0]!, maps.at(-1)!, maps[count >> 1]!]) {
      const kinds = [...readersOf(t, order, buffers)].map((r) => r.kind)
      expect(kinds).toEqual(["map", "map", "reduce"])
    }
  }),
)

test("2,000 maps one after the other are a few kernels, none of them too deep for who walks it", () =>
  withTable(() => {
    let x: ir.Tensor = ir.input("x", "input", [axis("a")], "f32", "f32", [8])
    const twice = apply("add", apply("mul", variable("$0", "f32"), literal(2, "f32")), literal(1, "f32"))
    for (let i = 0; i < 2000; i++) x = ir.map(twice, [x])
    const { buffers } = chooseCuts([x])
    expect(buffers.size).toBeGreaterThan(2)
    expect(buffers.size).toBeLessThan(16)
    let inlined = 0
    for (const t of topological([x])) {
      inlined = buffers.has(t) ? 0 : inlined + 1
      expect(inlined).toBeLessThanOrEqual(256)
    }
  }))

test("layers that are added to what they are given have a path for each subset of them; gathers are looked for once in each tensor", () =>
  withTable(() => {
    const weight = ir.input("w", "weight", [axis("a"), axis("b")], "f32", "f32", [8, 8])
    const two = (name: "add" | "mul") => apply(name, variable("$0", "f32"), variable("$1", "f32"))
    let x: ir.Tensor = ir.input("x", "input", [axis("a")], "f32", "f32", [8])
    for (let i = 0; i < 64; i++) {
      const inner = ir.reduce(sum, "a", [ir.map(two("mul"), [x, weight])])
      const outer = ir.reduce(sum, "b", [ir.map(two("mul"), [inner, weight])])
      x = ir.map(two("add"), [x, outer])
    }
    expect(groupGathers([x], wasmTarget.gather)[0]).toBe(x)
  }))

const shifted = (x: ir.Tensor, by: number): ir.Tensor => {
  const place = apply("add", variable("a"), literal(by))
  const within = apply("and", apply("le", literal(0), place), apply("lt", place, literal(1000)))
  return ir.reindex(x, x.axes, new Map([["a", place]]), within)
}
const rolled = (x: ir.Tensor): ir.Tensor =>
  ir.reindex(x, x.axes, new Map([["a", apply("floormod", apply("add", variable("a"), literal(1)), literal(1000))]]))
const both = apply("add", variable("$0", "f32"), variable("$1", "f32"))
const chosen = (x: ir.Tensor): ir.Tensor => ir.gather(x, "a", ir.map(apply("toI32", variable("$0", "f32")), [x]))
const chains: Readonly<Record<string, (x: ir.Tensor) => ir.Tensor>> = {
  "x + roll(x)": (x) => ir.map(both, [x, rolled(x)]),
  "shifts both ways": (x) => ir.map(both, [shifted(x, 1), shifted(x, -1)]),
  "x where x says": chosen,
}

test.each(Object.keys(chains))("the places that a chain of steps asks at are as many for each step: %s", (name) =>
  withTable(() => {
    const counts = [25, 50, 100, 200].map((steps) => {
      let x: ir.Tensor = ir.input("x", "input", [{ name: "a", extent: literal(1000) }], "f32", "f32", [1000])
      for (let i = 0; i < steps; i++) x = chains[name]!(x)
      const following = { places: 0 }
      const again = () => true
      const cut = crowded(topological([x]), new Set([x]), (t) => t.kind === "input", again, following)
      expect(cut.size).toBeGreaterThan(0)
      if (steps === 50) {
        const { buffers } = chooseCuts([x])
        for (const t of cut) expect(buffers).toContain(t)
      }
      return following.places
    })
    for (const [i, count] of counts.slice(1).entries()) expect(count).toBeLessThan(2.5 * counts[i]!)
    expect(counts.at(-1)).toBeLessThan(200 * 4 * 17)
  }),
)

test("what is asked for at many places, each of them once, stays where it is", () =>
  withTable(() => {
    const wide = [axis("b"), { name: "a", extent: literal(40) }]
    const x = ir.map(apply("exp", variable("$0", "f32")), [ir.input("x", "input", wide, "f32", "f32", [8, 40])])
    const picked = (i: number) => {
      const index = new Map<string, Expression>([
        ["b", variable("b")],
        ["a", literal(i)],
      ])
      return ir.reindex(x, [axis("b")], index)
    }
    let y: ir.Tensor = picked(0)
    for (let i = 1; i < 40; i++) y = ir.map(both, [y, picked(i)])
    expect(chooseCuts([y]).buffers).not.toContain(x)
  }))

/** Σ_k (g · x) · w, scaled by a value of each row: what has memory besides the result, by its axes. */
function scaledRows(rows: number, columns: number, isOperand?: (t: ir.Tensor) => boolean): readonly string[] {
  const two = (name: "mul" | "div") => apply(name, variable("$0", "f32"), variable("$1", "f32"))
  const [m, k, n] = [
    { name: "m", extent: literal(rows) },
    { name: "k", extent: literal(64) },
    { name: "n", extent: literal(columns) },
  ]
  const x = ir.input("x", "input", [m, k], "f32", "f32", [rows, 64])
  const g = ir.input("g", "weight", [k], "f32", "bf16", [64])
  const w = ir.input("w", "weight", [n, k], "f32", "bf16", [columns, 64])
  const operand = ir.map(two("mul"), [x, g])
  const squares = ir.reduce(sum, "k", [ir.map(two("mul"), [x, x])])
  const y = ir.map(two("div"), [ir.reduce(sum, "k", [ir.map(two("mul"), [operand, w])]), squares])
  const { buffers } = chooseCuts([y], undefined, isOperand)
  return [...buffers].filter((t) => t !== y).map((t) => t.axes.map((a) => a.name).join(" "))
}

test("what many blocks of a product on matrix units read has memory: a row's operand that would be rounded, and what the row is scaled by", () =>
  withTable(() => {
    const rounded = (t: ir.Tensor) => t.axes.length === 2
    expect([...scaledRows(40, 1024, rounded)].sort()).toEqual(["m", "m k"])
    // In 32 bits it stays where it is read.
    expect(scaledRows(40, 1024, () => false)).toEqual(["m"])
    expect(scaledRows(40, 1024)).toEqual([])
    expect(scaledRows(40, 256, rounded)).toEqual([])
    expect(scaledRows(1, 1024, rounded)).toEqual([])
  }))

test("what weights in words decode to has memory where many rows read it, and only there; other maps of weights are as those of anything", () =>
  withTable(() => {
    const [k, o] = [
      { name: "k", extent: literal(64) },
      { name: "o", extent: literal(64) },
    ]
    const product = apply("mul", variable("$0", "f32"), variable("$1", "f32"))
    const cutsOf = (decoded: ir.Tensor, rows: number) => {
      const x = ir.input("x", "input", [{ name: "s", extent: literal(rows) }, k], "f32", "f32", [rows, 64])
      return chooseCuts([ir.reduce(sum, "k", [ir.map(product, [x, decoded])])])
    }
    const words = ir.input("w", "weight", [o, { name: "field", extent: literal(8) }], "u32", "u32", [64, 8])
    const word = ir.reindex(
      words,
      [o, k],
      new Map([
        ["o", variable("o")],
        ["field", apply("floordiv", variable("k"), literal(8))],
      ]),
    )
    const field = apply("shr", variable("$0", "u32"), apply("toU32", apply("floormod", variable("$1"), literal(8))))
    const decoded = ir.map(apply("toF32", field), [word, ir.iota(k, literal(0))])
    expect(cutsOf(decoded, 1).buffers.has(decoded)).toBe(false)
    expect(cutsOf(decoded, 16).buffers.has(decoded)).toBe(false)
    expect(cutsOf(decoded, 64).buffers.has(decoded)).toBe(true)
    const scales = ir.input("g", "weight", [k], "f32", "f32", [64])
    const raised = ir.map(apply("add", variable("$0", "f32"), literal(1, "f32")), [scales])
    const norm = ir.input("x", "input", [{ name: "s", extent: literal(512) }, k], "f32", "f32", [512, 64])
    expect(chooseCuts([ir.map(product, [norm, raised])]).buffers.has(raised)).toBe(false)
    // Words that are counted, and no weights.
    const counted = ir.map(apply("toU32", variable("$0")), [ir.iota(k, literal(0))])
    const shifted = ir.map(apply("toF32", apply("shr", variable("$0", "u32"), literal(3, "u32"))), [counted])
    expect(chooseCuts([ir.map(product, [norm, shifted])]).buffers.has(shifted)).toBe(false)
  }))
