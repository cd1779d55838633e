/** Kernels for the tests of tuning: a contraction of many rows, and rows that are normalised. */
import { apply, literal, load, mul, reduce, symbol, variable } from "../../compiler/ir/expression.js"
import type { Kernel } from "../../compiler/ir/kernel.js"
import type { Storage } from "../../compiler/ir/loop.js"
import { sum } from "../../compiler/ir/monoid.js"

export interface Shape {
  readonly rows: number | { readonly max: number; readonly hint: number }
  readonly out: number
  readonly inner: number
  readonly storage?: Storage
  readonly stored?: Storage
  /** What the axes are called. */
  readonly names?: readonly [row: string, out: string, inner: string]
}

/** y[row, out] = sum_inner(x[row, inner] · w[out, inner]) */
export function contraction({
  rows,
  out,
  inner,
  storage = "f32",
  stored = "f32",
  names = ["row", "out", "inner"],
}: Shape): Kernel {
  const [r, o, k] = names
  const extent = typeof rows === "number" ? literal(rows) : symbol("seq", rows.max, rows.hint)
  const most = typeof rows === "number" ? rows : rows.max
  const x = load("b0", [variable(r), variable(k)], "f32")
  const w = load("b1", [variable(o), variable(k)], "f32")
  return {
    name: "contraction",
    buffers: [
      { name: "b0", dtype: "f32", storage: "f32", shape: [most, inner] },
      { name: "b1", dtype: "f32", storage, shape: [out, inner] },
      { name: "b2", dtype: "f32", storage: stored, shape: [most, out] },
    ],
    items: [
      {
        kind: "store",
        buffer: "b2",
        axes: [
          { name: r, extent },
          { name: o, extent: literal(out) },
        ],
        index: [variable(r), variable(o)],
        value: reduce(k, literal(inner), sum, [mul(x, w)]),
      },
    ],
    spans: [],
  }
}

/** y[row, inner] = x[row, inner] / sum_k(x[row, k]²) */
export function rows(count: number, inner: number): Kernel {
  const at = (name: string) => load("b0", [variable("row"), variable(name)], "f32")
  const squares = reduce("k", literal(inner), sum, [mul(at("k"), at("k"))])
  return {
    name: "rows",
    buffers: [
      { name: "b0", dtype: "f32", storage: "f32", shape: [count, inner] },
      { name: "b1", dtype: "f32", storage: "f32", shape: [count, inner] },
    ],
    items: [
      {
        kind: "store",
        buffer: "b1",
        axes: [
          { name: "row", extent: literal(count) },
          { name: "inner", extent: literal(inner) },
        ],
        index: [variable("row"), variable("inner")],
        value: apply("div", at("inner"), squares),
      },
    ],
    spans: [],
  }
}
