/**
 * Products whose operands are boxes of matrices: y[m, n] = Σ_k x[m, k] · w[n, k], or w[k, n], with rests on all sides, or with a matrix of w for each
 * batch, and batches that choose theirs.
 */
import { literal, load, mul, reduce, variable } from "../../compiler/ir/expression.js"
import type { Kernel, KernelBuffer } from "../../compiler/ir/kernel.js"
import { sum } from "../../compiler/ir/monoid.js"
import type { Expression } from "../../compiler/ir/nodes.js"
import type { Schedule } from "../../compiler/ir/schedule.js"

export interface BoxedShape {
  readonly atom: string
  readonly rows: number
  readonly columns: number
  readonly depth: number
  readonly block: readonly [rows: number, columns: number]
  /** Groups of lanes along the rows of a block; 1 where left out. */
  readonly warps?: number
  readonly chunk: number
  readonly stages: number
  /** Whether rows of w go along k. */
  readonly across?: boolean
  /** Batches, each of which names its w. */
  readonly batches?: number
}

export const boxedShapes: readonly BoxedShape[] = [
  { atom: "mma.m16n8k16.bf16", rows: 37, columns: 24, depth: 296, block: [32, 16], warps: 2, chunk: 64, stages: 3 },
  { atom: "mma.m16n8k16.bf16", rows: 21, columns: 40, depth: 88, block: [16, 32], chunk: 32, stages: 2, across: true },
  { atom: "mma.m16n8k16.bf16", rows: 19, columns: 16, depth: 64, block: [32, 16], chunk: 16, stages: 4, batches: 3 },
  { atom: "wgmma.m64n64k16.bf16", rows: 70, columns: 64, depth: 328, block: [64, 64], chunk: 64, stages: 3 },
  {
    atom: "wgmma.m64n128k16.bf16",
    rows: 64,
    columns: 136,
    depth: 200,
    block: [64, 128],
    chunk: 64,
    stages: 4,
    across: true,
  },
]

export function boxedProduct(shape: BoxedShape): { readonly kernel: Kernel; readonly schedule: Schedule } {
  const { atom, rows, columns, depth, block, chunk, stages, across = false, batches, warps = 1 } = shape
  const at = (buffer: string, ...index: readonly Expression[]) => load(buffer, index, "f32")
  const buffer = (name: string, ...shape: number[]): KernelBuffer => ({ name, dtype: "f32", storage: "bf16", shape })
  const [b, m, n, k] = ["b", "m", "n", "k"].map((name) => variable(name)) as [
    Expression,
    Expression,
    Expression,
    Expression,
  ]
  const whole = batches === undefined ? [] : [batches]
  const chosen = batches === undefined ? [] : [load("owner", [b], "i32")]
  const place = batches === undefined ? [] : [b]
  const w = across ? at("w", ...chosen, k, n) : at("w", ...chosen, n, k)
  const owner: readonly KernelBuffer[] =
    batches === undefined ? [] : [{ name: "owner", dtype: "i32", storage: "i32", shape: [batches] }]
  const kernel: Kernel = {
    name: "boxed",
    spans: [],
    buffers: [
      { name: "y", dtype: "f32", storage: "f32", shape: [...whole, rows, columns] },
      buffer("x", ...whole, rows, depth),
      buffer("w", ...whole, ...(across ? [depth, columns] : [columns, depth])),
      ...owner,
    ],
    items: [
      {
        kind: "store",
        buffer: "y",
        axes: [
          ...(batches === undefined ? [] : [{ name: "b", extent: literal(batches) }]),
          { name: "m", extent: literal(rows) },
          { name: "n", extent: literal(columns) },
        ],
        index: [...place, m, n],
        value: reduce("k", literal(depth), sum, [mul(at("x", ...place, m, k), w)]),
      },
    ],
  }
  const tile = { m: { block: block[0] }, n: { block: block[1] }, ...(batches === undefined ? {} : { b: { block: 1 } }) }
  const threads = warps * (atom.startsWith("wgmma") ? 128 : 32)
  const store = { atom: { name: atom, boxes: true }, tile, warps: { m: warps }, reduce: { k: { chunk, stages } } }
  return { kernel, schedule: { threads, stores: [store], locals: {} } }
}
