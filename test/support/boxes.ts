/**
 * Products whose operands are boxes of matrices: y[m, n] = Σ_k x[m, k] · w[n, k], or w[k, n], with rests on all sides, or with a matrix of w for each
 * batch, and batches that choose theirs.
 */
import { literalExtent } from "../../compiler/ir/dim.js"
import { literal, load, mul, reduce, variable } from "../../compiler/ir/expression.js"
import type { Kernel, KernelBuffer } from "../../compiler/ir/kernel.js"
import { sum } from "../../compiler/ir/monoid.js"
import type { Schedule } from "../../compiler/ir/schedule.js"
import type { Axis } from "../../compiler/ir/tensor.js"

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
  /** Matrices of w side by side, two of which a block has: columns of y are of both axes. */
  readonly heads?: number
  /** Batches, each of which names its w. */
  readonly batches?: number
}

export const boxedShapes: readonly BoxedShape[] = [
  { atom: "mma.m16n8k16.bf16", rows: 37, columns: 24, depth: 296, block: [32, 16], warps: 2, chunk: 64, stages: 3 },
  { atom: "mma.m16n8k16.bf16", rows: 21, columns: 40, depth: 88, block: [16, 32], chunk: 32, stages: 2, across: true },
  { atom: "mma.m16n8k16.bf16", rows: 19, columns: 16, depth: 64, block: [32, 16], chunk: 16, stages: 4, batches: 3 },
  { atom: "mma.m16n8k16.bf16", rows: 16, columns: 16, depth: 80, block: [16, 16], chunk: 64, stages: 2, heads: 5 },
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

/** Axes in front of others, where there are any. */
const axisOf = (name: string, extent: number | undefined): readonly Axis[] =>
  extent === undefined ? [] : [{ name, extent: literal(extent) }]

export function boxedProduct(shape: BoxedShape): { readonly kernel: Kernel; readonly schedule: Schedule } {
  const { atom, rows, columns, depth, block, chunk, stages, across = false, batches, heads, warps = 1 } = shape
  const [b, h] = [axisOf("b", batches), axisOf("h", heads)]
  const [m, n, k] = [axisOf("m", rows), axisOf("n", columns), axisOf("k", depth)]
  const at = (axes: readonly Axis[]) => axes.map((a) => variable(a.name))
  const extents = (axes: readonly Axis[]) => axes.map((a) => literalExtent(a.extent)!)
  const [x, w] = [[...b, ...m, ...k], across ? [...b, ...k, ...h, ...n] : [...b, ...h, ...n, ...k]]
  const chosen = at(w).map((place, i) => (batches !== undefined && i === 0 ? load("owner", [place], "i32") : place))
  const buffer = (name: string, storage: "f32" | "bf16" | "i32", axes: readonly Axis[]): KernelBuffer => ({
    name,
    dtype: storage === "i32" ? "i32" : "f32",
    storage,
    shape: extents(axes),
  })
  const y = [...b, ...m, ...h, ...n]
  const lift = mul(load("x", at(x), "f32"), load("w", chosen, "f32"))
  const value = reduce("k", literal(depth), sum, [lift])
  const kernel: Kernel = {
    name: "boxed",
    spans: [],
    buffers: [
      buffer("y", "f32", y),
      buffer("x", "bf16", x),
      buffer("w", "bf16", w),
      ...(batches === undefined ? [] : [buffer("owner", "i32", b)]),
    ],
    items: [{ kind: "store", buffer: "y", axes: y, index: at(y), value }],
  }
  const tile = {
    m: { block: block[0] },
    n: { block: block[1] },
    ...(batches === undefined ? {} : { b: { block: 1 } }),
    ...(heads === undefined ? {} : { h: { block: 2 } }),
  }
  const threads = warps * (atom.startsWith("wgmma") ? 128 : 32)
  const store = { atom: { name: atom, boxes: true }, tile, warps: { m: warps }, reduce: { k: { chunk, stages } } }
  return { kernel, schedule: { threads, stores: [store], locals: {} } }
}
