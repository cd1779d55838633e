/** Small loop kernels over fragments, tiles and copies. */
import { literal, mul, variable } from "../../compiler/ir/expression.js"
import type { LoopBuffer, LoopKernel, Statement } from "../../compiler/ir/loop.js"
import type { Expression } from "../../compiler/ir/nodes.js"

export const [lane, i] = [variable("lane"), variable("i")]
export const n = (x: number) => literal(x)
export const warp = "mma.m16n8k16.bf16"
export const wide = "wgmma.m64n64k16.bf16"

export type Alloc = Statement & { kind: "alloc" }
export const held = (operand: "a" | "b" | "c", size: number, atom = warp): Alloc => ({
  kind: "alloc",
  name: operand,
  dtype: "f32",
  ...(operand === "c" ? {} : { storage: "bf16" }),
  size,
  space: "register",
  layout: { atom, operand },
})
export const tile: Alloc = { kind: "alloc", name: "tile", dtype: "f32", storage: "bf16", size: 1024, space: "shared" }
export const place = (array: string, offset: Expression | number = 0) => ({
  array,
  offset: typeof offset === "number" ? n(offset) : offset,
})
export type Fill = Statement & { kind: "fill" }
export const fill = (own: Partial<Fill> = {}): Fill => ({
  kind: "fill",
  atom: warp,
  operand: "a",
  to: place("a"),
  from: place("tile"),
  stride: n(16),
  transposed: false,
  count: 1,
  step: 0,
  ...own,
})
export type Multiply = Statement & { kind: "multiply" }
export const multiply = (own: Partial<Multiply> = {}): Multiply => ({
  kind: "multiply",
  atom: warp,
  c: place("c"),
  a: place("a"),
  b: place("b"),
  ...own,
})
export type Copy = Statement & { kind: "copy" }
export const copy = (own: Partial<Copy> = {}): Copy => ({
  kind: "copy",
  to: place("tile", mul(lane, n(8))),
  from: place("x", mul(lane, n(8))),
  width: 8,
  ...own,
})
export const commit: Statement = { kind: "commit", of: "copies" }
export const wait = (groups = 0): Statement => ({ kind: "wait", of: "copies", groups })
export const barrier: Statement = { kind: "barrier" }
export const store = (array: string, offset: Expression, value: Expression): Statement => ({
  kind: "store",
  array,
  offset,
  value,
})
export const when = (condition: Expression, ...body: Statement[]): Statement => ({
  kind: "if",
  condition,
  body,
  otherwise: [],
})
export const loop = (extent: Expression | number, ...body: Statement[]): Statement => ({
  kind: "for",
  variable: "i",
  extent: typeof extent === "number" ? n(extent) : extent,
  bind: "serial",
  body,
})
export const buffer = (name: string, storage: "bf16" | "f32", access: "read" | "write", size = 1024): LoopBuffer => ({
  name,
  dtype: "f32",
  storage,
  size: n(size),
  access,
})
export const buffers = [buffer("x", "bf16", "read"), buffer("y", "f32", "write")]

export function kernel(
  body: readonly Statement[],
  { threads = 32, shared = [tile] as readonly Statement[] } = {},
): LoopKernel {
  const lanes: Statement = { kind: "for", variable: "lane", extent: n(threads), bind: "lane", body }
  const symbols = JSON.stringify(body).includes('"symbol"') ? ["seq"] : []
  const grid: Statement = { kind: "for", variable: "group", extent: n(1), bind: "grid", body: [...shared, lanes] }
  return { name: "k", buffers, symbols, threads, groups: 1, body: [grid] }
}
export const arrays = [held("a", 16), held("b", 8), held("c", 8)]
