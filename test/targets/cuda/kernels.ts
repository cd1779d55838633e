/** Twelve kernels that ask for all that loops have: folds and prefixes, shared rows, halves in pairs and alone, integers, choices, indices that are read. */

import {
  add,
  apply,
  component,
  fetch,
  literal,
  load,
  localRead,
  mul,
  reduce,
  scan,
  splat,
  sub,
  symbol,
  variable,
} from "../../../compiler/ir/expression.js"
import type { Item, Kernel } from "../../../compiler/ir/kernel.js"
import type { LoopKernel, Statement, Storage } from "../../../compiler/ir/loop.js"
import { storageType } from "../../../compiler/ir/loop.js"
import { argmax, type Monoid, max, sum, top } from "../../../compiler/ir/monoid.js"
import type { Expression } from "../../../compiler/ir/nodes.js"
import type { DType } from "../../../compiler/ir/operations.js"
import { bind, bound, buffer, kernelOf, store as storeAt } from "../wasm-support.js"

const f = (x: number) => literal(x, "f32")
const n = (x: number) => literal(x)
const v = (name: string) => variable(name)
const rows = () => symbol("rows", 24, 20)

type Buffers = Readonly<Record<string, readonly [storage: Storage, ...shape: number[]]>>

const kernel = (name: string, buffers: Buffers, ...items: readonly Item[]): Kernel => ({
  name,
  buffers: Object.entries(buffers).map(([buffer, [storage, ...shape]]) => ({
    name: buffer,
    dtype: storageType(storage),
    storage,
    shape,
  })),
  items,
  spans: [],
})

type Extents = Readonly<Record<string, Expression | number>>
const axesOf = (extents: Extents) =>
  Object.entries(extents).map(([name, extent]) => ({ name, extent: typeof extent === "number" ? n(extent) : extent }))
const store = (buffer: string, extents: Extents, value: Expression, index = Object.keys(extents).map(v)): Item => ({
  kind: "store",
  buffer,
  axes: axesOf(extents),
  index,
  value,
})
const local = (name: string, extents: Extents, value: Expression): Item => ({
  kind: "local",
  name,
  axes: axesOf(extents),
  value,
})
const at = (buffer: string, ...index: readonly (string | Expression)[]) =>
  load(
    buffer,
    index.map((i) => (typeof i === "string" ? v(i) : i)),
    "f32",
  )
const integer = (buffer: string, dtype: DType, ...index: readonly string[]) => load(buffer, index.map(v), dtype)
const fold = (axis: string, extent: Expression | number, monoid: Monoid, ...lift: readonly Expression[]) =>
  reduce(axis, typeof extent === "number" ? n(extent) : extent, monoid, lift)
const best = (row: string, key: string) => fold(key, 128, argmax, at("x", row, key), v(key))

/** A kernel, and how far its results may be from the table of operations, relative; exact where nothing is said. */
export interface Example {
  readonly kernel: Kernel
  readonly within?: number
}

export const examples: readonly Example[] = [
  {
    kernel: kernel(
      "bins",
      { x: ["i32", 3, 77], w: ["u32", 3, 77], y: ["u32", 3, 96], z: ["i32", 3, 64] },
      store(
        "y",
        { s: 3, bin: 96 },
        fold(
          "i",
          77,
          sum,
          apply(
            "select",
            apply("eq", integer("x", "i32", "s", "i"), v("bin")),
            integer("w", "u32", "s", "i"),
            literal(0, "u32"),
          ),
        ),
      ),
      store(
        "z",
        { t: 3, place: 64 },
        fold(
          "j",
          77,
          sum,
          apply("toI32", apply("eq", apply("bitand", integer("x", "i32", "t", "j"), n(63)), v("place"))),
        ),
      ),
    ),
  },
  {
    kernel: kernel(
      "odd rows",
      { x: ["f32", 24, 37], y: ["bf16", 24, 37], z: ["f16", 37] },
      store("y", { row: rows(), i: 37 }, mul(at("x", "row", "i"), f(1.001))),
      store("z", { k: 37 }, fold("s", rows(), max, at("x", "s", "k"))),
    ),
  },
  {
    kernel: kernel(
      "elementwise",
      { x: ["f32", 24, 64], y: ["f32", 64], z: ["f32", 24, 64] },
      store(
        "z",
        { i: rows(), j: 64 },
        add(mul(at("x", "i", "j"), at("y", "j")), apply("max", at("x", "i", "j"), f(-0.5))),
      ),
    ),
  },
  {
    kernel: kernel(
      "functions",
      { x: ["f32", 256], y: ["f32", 256] },
      store("y", { i: 256 }, apply("div", f(1), add(f(1), apply("exp", apply("neg", at("x", "i")))))),
    ),
    within: 2 ** -20,
  },
  {
    kernel: kernel(
      "contraction",
      { a: ["f32", 24, 64], b: ["bf16", 64, 32], y: ["f32", 24, 32] },
      store("y", { i: rows(), j: 32 }, fold("k", 64, sum, mul(at("a", "i", "k"), at("b", "k", "j")))),
    ),
  },
  {
    kernel: kernel(
      "row statistic",
      { x: ["f32", 24, 128], y: ["bf16", 24, 128] },
      local("s", { i: rows() }, fold("k", 128, sum, mul(at("x", "i", "k"), at("x", "i", "k")))),
      store(
        "y",
        { r: rows(), j: 128 },
        apply("div", at("x", "r", "j"), apply("sqrt", add(localRead("s", [v("r")], "f32"), f(1)))),
      ),
    ),
  },
  {
    kernel: kernel(
      "integers",
      { a: ["i32", 96], b: ["u32", 96], y: ["i32", 96], z: ["u32", 96] },
      store(
        "y",
        { i: 96 },
        add(
          apply("div", integer("a", "i32", "i"), apply("toI32", integer("b", "u32", "i"))),
          apply("floormod", sub(v("i"), n(40)), n(7)),
        ),
      ),
      store(
        "z",
        { j: 96 },
        apply(
          "bitxor",
          apply("shr", integer("b", "u32", "j"), literal(3, "u32")),
          apply("mul", apply("toU32", integer("a", "i32", "j")), literal(2654435761, "u32")),
        ),
      ),
    ),
  },
  {
    kernel: kernel(
      "halves",
      { x: ["bf16", 24, 64], h: ["f16", 64], y: ["bf16", 24, 64], z: ["f16", 64] },
      store("y", { i: rows(), j: 64 }, mul(at("x", "i", "j"), at("h", "j"))),
      store("z", { k: 64 }, mul(at("h", "k"), f(1.0009765625))),
    ),
  },
  {
    kernel: kernel(
      "select",
      { x: ["f32", 24, 64], m: ["bool", 24, 64], y: ["f32", 24, 64], w: ["bool", 24] },
      store(
        "y",
        { i: rows(), j: 64 },
        apply(
          "select",
          apply("and", integer("m", "bool", "i", "j"), apply("le", v("j"), v("i"))),
          at("x", "i", "j"),
          f(Number.NEGATIVE_INFINITY),
        ),
      ),
      store("w", { r: rows() }, apply("gt", fold("k", 64, max, at("x", "r", "k")), f(0.9))),
    ),
  },
  {
    kernel: kernel(
      "prefixes",
      { x: ["f32", 24, 48], y: ["f32", 24, 48] },
      store("y", { i: rows(), j: 48 }, scan("k", v("j"), sum, [at("x", "i", "k")])),
    ),
  },
  {
    kernel: kernel(
      "argmax",
      { x: ["f32", 24, 128], y: ["i32", 24], z: ["f32", 24], t: ["i32", 24, 3] },
      store("y", { a: rows() }, component(best("a", "k"), 1)),
      store("z", { b: rows() }, component(best("b", "l"), 0)),
      store("t", { c: rows(), s: 3 }, component(fold("q", 128, top(3), at("x", "c", "q"), v("q")), 1, v("s"))),
    ),
  },
  {
    kernel: kernel(
      "gathered rows",
      { table: ["bf16", 40, 64], ids: ["i32", 24], y: ["f32", 24, 64] },
      store(
        "y",
        { i: rows(), j: 64 },
        at("table", apply("max", n(0), apply("min", integer("ids", "i32", "i"), n(39))), "j"),
      ),
    ),
  },
]

/** What no pass makes of a kernel today: a loop that is printed once for each iteration. Its names are words of C. */
export function unrolled(): LoopKernel {
  const start = mul(v("i"), n(4))
  const sum = variable("double", "f32", 4)
  const turn: readonly Statement[] = [
    bind("this", add(mul(v("g"), n(8)), start)),
    bind("double", fetch("float", v("this"), "f32", 4), true),
    { kind: "assign", name: "double", value: add(sum, splat(apply("toF32", v("i")), 4)) },
    storeAt("int", start, apply("select", apply("gt", sum, splat(f(1), 4)), sum, splat(f(-0), 4))),
  ]
  return kernelOf([buffer("float", "f32", 32), buffer("y", "f32", 32, "write")], 4, [
    { kind: "alloc", name: "int", dtype: "f32", size: 8, space: "register" },
    bound("unroll", "i", 2, turn),
    storeAt("y", mul(v("g"), n(8)), fetch("int", n(0), "f32", 8)),
  ])
}
