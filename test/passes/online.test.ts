/** What hoist and online make of small programs, what they must leave alone, and what becomes of a whole model. */

import { expect, test } from "vitest"
import { apply, literal, symbol, variable, withTable } from "../../compiler/ir/expression.js"
import { max, sum } from "../../compiler/ir/monoid.js"
import { printTensor } from "../../compiler/ir/print/tensor.js"
import { topological } from "../../compiler/ir/tensor/walk.js"
import * as ir from "../../compiler/ir/tensor.js"
import { verifyTensor } from "../../compiler/ir/verify/tensor.js"
import { hoist } from "../../compiler/tensor/hoist.js"
import { defaultOnlineLimits, type OnlineLimits, online } from "../../compiler/tensor/online.js"
import { simplify } from "../../compiler/tensor/simplify.js"
import { scratchStorage } from "../../compiler/tensor/storage.js"
import { traceModel } from "../../compiler/trace/programs.js"
import { qwen3 } from "../support/driver.js"

type Operation = "add" | "sub" | "mul" | "div"

const f = (i: number) => variable(`$${i}`, "f32")
const two = (name: Operation, a: ir.Tensor, b: ir.Tensor) => ir.map(apply(name, f(0), f(1)), [a, b])
const one = (name: "log" | "tanh", a: ir.Tensor) => ir.map(apply(name, f(0)), [a])
const times = (n: number, a: ir.Tensor) => ir.map(apply("mul", f(0), literal(n, "f32")), [a])
const shifted = (s: ir.Tensor, m: ir.Tensor) => ir.map(apply("exp", apply("sub", f(0), f(1))), [s, m])
const total = (axis: string, a: ir.Tensor) => ir.reduce(sum, axis, [a])
const largest = (axis: string, a: ir.Tensor) => ir.reduce(max, axis, [a])

const axes = () => ({
  row: { name: "row", extent: literal(4) },
  key: { name: "key", extent: symbol("seq", 4096, 512) },
  step: { name: "step", extent: literal(2048) },
  dim: { name: "dim", extent: literal(8) },
})
type Axes = ReturnType<typeof axes>
type Name = keyof Axes

function input(name: string, names: readonly Name[], all: Axes): ir.Tensor {
  const capacity = names.map((n) => (n === "key" ? 4096 : (all[n].extent as { value: number }).value))
  return ir.input(
    name,
    "input",
    names.map((n) => all[n]),
    "f32",
    "f32",
    capacity,
  )
}

interface Given {
  /** Computed scores [row, key]. */
  readonly s: ir.Tensor
  /** Values [key, dim]. */
  readonly v: ir.Tensor
  readonly all: Axes
}

function given(): Given {
  const all = axes()
  return { s: one("tanh", input("s", ["row", "key"], all)), v: input("v", ["key", "dim"], all), all }
}

/** The reductions that online leaves, as text. */
function reductions(make: (g: Given) => readonly ir.Tensor[], limits: OnlineLimits = defaultOnlineLimits): string[] {
  return withTable(() => {
    const made = online(hoist(simplify(make(given()))), limits)
    expect(verifyTensor(made)).toEqual([])
    const lines = printTensor(made).split("\n")
    return lines.flatMap((l) => /= reduce (.*?) over (\w+)/.exec(l)?.slice(1, 3).join(" ") ?? [])
  })
}

const shares = ({ s }: Given, axis = "key") => {
  const weight = shifted(s, largest(axis, s))
  return two("div", weight, total(axis, weight))
}

test("shares times values are one fold of two channels; the divisor leaves the sum", () => {
  withTable(() => {
    const g = given()
    const made = online(hoist([total("key", two("mul", shares(g), g.v))]))
    expect(printTensor(made)).toBe(
      [
        "%0 = input s input : [row: 4, key: seq] f32",
        "%1 = map tanh($0) of %0 : [row, key] f32",
        "%2 = constant 1 : [] f32",
        "%3 = input v input : [key: seq, dim: 8] f32",
        "%4 = reduce online(exp, 2).2 over key of %1, %2, %3 : [row, dim] f32",
        "%5 = reduce online(exp, 2) over key of %1, %2, %3 : [row, dim] f32",
        "%6 = map select((seq > 0), ($0 - ($1 - $1)), $0) of %4, %5 : [row, dim] f32",
        "%7 = reduce online(exp, 2).1 over key of %1, %2, %3 : [row, dim] f32",
        "%8 = map select((seq > 0), ($0 - ($1 - $1)), $0) of %7, %5 : [row, dim] f32",
        "%9 = map select((seq > 0), ($0 / $1), 0.0) of %6, %8 : [row, dim] f32",
        "return %9",
      ].join("\n"),
    )
  })
})

test("nothing that scores are made of is a choice: it may lie in memory in half the bytes, as without an online fold", () => {
  withTable(() => {
    const g = given()
    const [q, k] = [one("tanh", input("q", ["row", "dim"], g.all)), one("tanh", input("k", ["key", "dim"], g.all))]
    const program = [total("key", two("mul", shares({ ...g, s: total("dim", two("mul", q, k)) }), g.v))]
    for (const made of [program, online(hoist(program))]) {
      const storageOf = scratchStorage(made, "fast", {}, 8)
      const rows = topological(made).filter((t) => t.kind === "map" && t.args.some((a) => a.kind === "input"))
      expect(rows.map((t) => [t.axes.map((a) => a.name).join(), storageOf(t)])).toEqual(
        expect.arrayContaining([
          ["row,dim", "bf16"],
          ["key,dim", "bf16"],
        ]),
      )
    }
  })
})

test("the logarithm of a sum of exponentials takes its pivot from the fold", () => {
  expect(
    reductions(({ s }) => {
      const m = largest("key", s)
      return [two("add", m, one("log", total("key", shifted(s, m))))]
    }),
  ).toEqual(["online(exp, 1) key", "online(exp, 1).1 key"])
})

const deviations = ({ all }: Given, count: number) => {
  const x = one("tanh", input("x", ["row", "step"], all))
  const mean = ir.map(apply("div", f(0), literal(count, "f32")), [total("step", x)])
  const deviation = two("sub", x, mean)
  return two("div", deviation, total("step", two("mul", deviation, deviation)))
}

test("squared deviations and their mean are one fold", () =>
  expect(reductions((g) => [deviations(g, 2048)])).toEqual(["online(moments, 1).1 step", "online(moments, 1).2 step"]))

test("two values with channels of their own are two folds", () =>
  expect(
    reductions((g) => {
      const w = ir.input("w", "input", [g.all.key, { name: "other", extent: literal(3) }], "f32", "f32", [4096, 3])
      const [a, b] = [g.v, w].map((y) => total("key", two("mul", shares(g), y)))
      return [two("mul", a!, b!)]
    }),
  ).toEqual(["online(exp, 2).2 key", "online(exp, 2) key", "online(exp, 2).1 key", "online(exp, 1).1 key"]))

test.each<readonly [string, readonly string[], (g: Given) => readonly ir.Tensor[]]>([
  [
    "the pivot is of another tensor",
    ["max key", "sum key"],
    ({ s }) => [total("key", shifted(s, largest("key", times(0.5, s))))],
  ],
  ["the pivot is along another axis", ["max row", "sum key"], ({ s }) => [total("key", shifted(s, largest("row", s)))]],
  [
    "the exponent is the other way round",
    ["max key", "sum key"],
    ({ s }) => [total("key", shifted(largest("key", s), s))],
  ],
  ["the count is wrong", ["sum step", "sum step"], (g) => [deviations(g, 2047)]],
  [
    // The divisor, which leaves the sum, matches by itself.
    "a value waits for the pivot, too",
    ["max key", "sum key", "online(exp, 1).1 key", "online(exp, 1) key"],
    (g) => [total("key", two("mul", shifted(g.s, largest("key", g.s)), shares(g)))],
  ],
])("left alone: %s", (_, expected, make) => expect(reductions(make)).toEqual(expected))

test("scores that lie in memory, and axes that a block holds, are taken in two passes", () => {
  const short = ({ all }: Given) => {
    const x = one("tanh", input("x", ["row", "dim"], all))
    return [total("dim", shifted(x, largest("dim", x)))]
  }
  const stored = ({ all }: Given) => {
    const x = input("x", ["row", "key"], all)
    return [total("key", shifted(x, largest("key", x)))]
  }
  expect(reductions(short)).toEqual(["max dim", "sum dim"])
  expect(reductions(stored)).toEqual(["max key", "sum key"])
  expect(reductions(short, { held: 4, stored: false })).toEqual(["online(exp, 1).1 dim", "online(exp, 1) dim"])
  expect(reductions(stored, { held: 1024, stored: true })).toEqual(["online(exp, 1).1 key", "online(exp, 1) key"])
})

test("a factor leaves where that saves work, and stays where others read the product or the sum is larger", () => {
  const texts = (make: (g: Given) => ir.Tensor[]) =>
    withTable(() =>
      printTensor(hoist(make(given())))
        .split("\n")
        .filter((l) => / = map /.test(l))
        .map((l) => l.replace(/^%\d+ = map (.*) of .* : (\[.*\]).*$/, "$1 $2")),
    )
  const scaled = ({ all, v }: Given) => two("mul", two("mul", input("a", ["dim"], all), times(0.5, v)), v)
  expect(texts((g) => [total("key", scaled(g))])).toEqual([
    "(($0 * 0.5) * $0) [key, dim]",
    "select((seq > 0), ($0 * $1), 0.0) [dim]",
  ])
  expect(texts((g) => [total("key", scaled(g)), scaled(g)]).length).toBe(3)
  const wide = ({ all }: Given) =>
    two("mul", two("mul", input("x", ["dim"], all), input("r", ["row"], all)), input("w", ["dim", "step"], all))
  expect(texts((g) => [total("dim", wide(g))])).toEqual(["($0 * $1) [dim, row]", "($0 * $1) [dim, row, step]"])
})

/** A row times a factor of it, and what folds it: x[row, step] · r[row] · g[step]. */
function scaledRow({ all }: Given) {
  const [x, q, g] = [input("x", ["row", "step"], all), input("q", ["row"], all), input("g", ["step"], all)]
  const r = ir.map(apply("div", literal(1, "f32"), f(0)), [q])
  const scaled = two("mul", two("mul", x, r), g)
  const folded = (name: string, by = scaled) => total("step", two("mul", by, input(name, ["dim", "step"], all)))
  return { x, r, scaled, folded }
}

test("a factor of a row leaves all folds of the row, which stays one map", () => {
  const made = (make: (g: ReturnType<typeof scaledRow>) => ir.Tensor[], products = 16) =>
    withTable(() => printTensor(hoist(simplify(make(scaledRow(given()))), undefined, { products })))
  const left = [
    "%0 = input x input : [row: 4, step: 2048] f32",
    "%1 = input g input : [step: 2048] f32",
    "%2 = map ($0 * $1) of %0, %1 : [row, step] f32",
    "%3 = input w input : [dim: 8, step: 2048] f32",
    "%4 = map ($0 * $1) of %2, %3 : [row, step, dim] f32",
    "%5 = reduce sum over step of %4 : [row, dim] f32",
    "%6 = input q input : [row: 4] f32",
    "%7 = map (1.0 / $0) of %6 : [row] f32",
    "%8 = map ($0 * $1) of %5, %7 : [row, dim] f32",
    "%9 = input v input : [dim: 8, step: 2048] f32",
    "%10 = map ($0 * $1) of %2, %9 : [row, step, dim] f32",
    "%11 = reduce sum over step of %10 : [row, dim] f32",
    "%12 = map ($0 * $1) of %11, %7 : [row, dim] f32",
    "return %8, %12",
  ]
  expect(made(({ folded }) => [folded("w"), folded("v")]).split("\n")).toEqual(left)
  const stays = (text: string) => expect(text).not.toMatch(/of %\d+, %\d+ : \[row, dim\]/)
  // Who else reads the row needs the factor in it; so does a type that does not have the range of f32; and few products are not worth it.
  stays(made(({ folded, scaled }) => [folded("w"), folded("v"), scaled]))
  stays(made(({ folded, scaled }) => [folded("w"), one("tanh", scaled)]))
  stays(made(({ folded, scaled }) => [folded("w"), total("row", scaled)]))
  stays(made(({ folded }) => [folded("w"), folded("v")], Number.POSITIVE_INFINITY))
  stays(made(({ folded }) => [folded("w"), folded("v")], 4096))
  // What is needed inside as well.
  stays(made(({ folded, scaled, x, r }) => [folded("w", two("mul", scaled, one("tanh", two("mul", x, r))))]))
})

test("a layer has one online fold over key, and no other fold over it", async () => {
  const program = (await qwen3()).configure({
    model_type: "qwen3",
    vocab_size: 512,
    hidden_size: 256,
    intermediate_size: 384,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    head_dim: 64,
    max_position_embeddings: 4096,
  })
  withTable(() => {
    const traced = traceModel(program, { bounds: [128], storage: () => "bf16" }, ["prefill", "step", "logits"])
    for (const e of traced.entries) {
      const roots = [...e.outputs, ...e.updates].map((o) => o.tensor)
      const made = online(hoist(simplify(roots)))
      expect(verifyTensor(made)).toEqual([])
      const units = new Set(topological(made).flatMap((t) => (t.kind === "call" ? [t.unit] : [])))
      expect(units.size).toBe(1)
      for (const { results } of units) {
        const folds = topological(results).filter((t) => t.kind === "reduce" && t.axis === "key") as ir.Reduce[]
        expect(new Set(folds.map((t) => t.args.length))).toEqual(new Set([3]))
        expect(new Set(folds.map((t) => t.args.map((a) => ir.axisNames(a).join(" ")).join(", "))).size).toBe(1)
        expect(folds.map((t) => [t.monoid, t.component]).sort()).toEqual([
          [{ kind: "online", recipe: "exp", channels: 2 }, 0],
          [{ kind: "online", recipe: "exp", channels: 2 }, 1],
          [{ kind: "online", recipe: "exp", channels: 2 }, 2],
        ])
      }
    }
  })
})
