/** A product of matrices in one block of matrix units. */
import { literal, load, mul, reduce, variable } from "../../compiler/ir/expression.js"
import type { Kernel } from "../../compiler/ir/kernel.js"
import { sum } from "../../compiler/ir/monoid.js"
import type { Schedule } from "../../compiler/ir/schedule.js"

/** y[m, n] = Σ_k x[m, k] · w[n, k], in one block. */
export function product(
  name: string,
  {
    m,
    n,
    k,
    storage,
    chunk,
  }: Readonly<Record<"m" | "n" | "k" | "chunk", number>> & { readonly storage: "f32" | "bf16" },
): { readonly kernel: Kernel; readonly schedule: Schedule } {
  const at = (buffer: string, ...axes: string[]) =>
    load(
      buffer,
      axes.map((a) => variable(a)),
      "f32",
    )
  const buffer = (name: string, storage: "f32" | "bf16", ...shape: number[]) =>
    ({ name, dtype: "f32", storage, shape }) as const
  const row = Math.ceil(k / 8) * 8
  const kernel: Kernel = {
    name: "product",
    spans: [],
    buffers: [buffer("y", "f32", m, n), buffer("x", storage, m, row), buffer("w", "bf16", n, row)],
    items: [
      {
        kind: "store",
        buffer: "y",
        axes: [
          { name: "m", extent: literal(m) },
          { name: "n", extent: literal(n) },
        ],
        index: [variable("m"), variable("n")],
        value: reduce("k", literal(k), sum, [mul(at("x", "m", "k"), at("w", "n", "k"))]),
      },
    ],
  }
  const tile = { m: { block: "all" }, n: { block: "all" } } as const
  const threads = name.startsWith("wgmma") ? 128 : 32
  const reduceTile = { k: { chunk, stages: 3 } }
  return { kernel, schedule: { threads, stores: [{ atom: { name }, tile, reduce: reduceTile }], locals: {} } }
}
