/** Statements and kernels of which tests of the loop language are built. */
import { expect } from "vitest"
import { interpretLoop, LoopFault, type LoopOptions } from "../../compiler/interpret/loop.js"
import { allocateBuffer, type Memory } from "../../compiler/interpret/memory.js"
import { add, apply, literal, mul, variable } from "../../compiler/ir/expression.js"
import type { Bind, LoopBuffer, LoopKernel, Statement } from "../../compiler/ir/loop.js"
import type { Expression } from "../../compiler/ir/nodes.js"
import type { DType } from "../../compiler/ir/operations.js"
import { verifyLoop } from "../../compiler/ir/verify/loop.js"

export const n = (x: number) => literal(x)
export const f = (x: number) => literal(x, "f32")
export const [block, lane, i, j] = ["block", "lane", "i", "j"].map((name) => variable(name)) as [
  Expression,
  Expression,
  Expression,
  Expression,
]
export const f32 = (name: string) => variable(name, "f32")
export const lt = (a: Expression, b: Expression) => apply("lt", a, b)

export const loop = (variable: string, extent: Expression, bind: Bind, ...body: Statement[]): Statement => ({
  kind: "for",
  variable,
  extent,
  bind,
  body,
})
export const serial = (variable: string, extent: Expression | number, ...body: Statement[]) =>
  loop(variable, typeof extent === "number" ? n(extent) : extent, "serial", ...body)
export const when = (condition: Expression, ...body: Statement[]): Statement => ({
  kind: "if",
  condition,
  body,
  otherwise: [],
})
export const bind = (name: string, value: Expression, mutable = false): Statement => ({
  kind: "let",
  name,
  value,
  mutable,
})
export const assign = (name: string, value: Expression): Statement => ({ kind: "assign", name, value })
export const store = (array: string, offset: Expression, value: Expression): Statement => ({
  kind: "store",
  array,
  offset,
  value,
})
export const shared = (name: string, size: number, dtype: DType = "f32"): Statement => ({
  kind: "alloc",
  name,
  dtype,
  size,
  space: "shared",
})
export const register = (name: string, size: number, dtype: DType = "f32"): Statement => ({
  kind: "alloc",
  name,
  dtype,
  size,
  space: "register",
})
export const barrier: Statement = { kind: "barrier" }
export const buffer = (
  name: string,
  access: LoopBuffer["access"],
  size: number | Expression,
  storage: LoopBuffer["storage"] = "f32",
): LoopBuffer => ({
  name,
  dtype: storage === "bf16" || storage === "f16" ? "f32" : storage,
  storage,
  size: typeof size === "number" ? n(size) : size,
  access,
})

/** A kernel whose lanes run `body`; `arrays` stand in the grid loop. */
export function kernel(
  threads: number,
  grid: number | Expression,
  buffers: LoopBuffer[],
  body: Statement[],
  arrays: Statement[] = [],
): LoopKernel {
  const extent = typeof grid === "number" ? n(grid) : grid
  const symbols = /length/.test(JSON.stringify([extent, body])) ? ["length"] : []
  const root = loop("block", extent, "grid", ...arrays, loop("lane", n(threads), "lane", ...body))
  return { name: "test", buffers, symbols, threads, groups: 64, body: [root] }
}

export function run(k: LoopKernel, inputs: Record<string, Memory>, options?: LoopOptions, length = 0): void {
  expect(verifyLoop(k)).toEqual([])
  interpretLoop(k, new Map(Object.entries(inputs)), new Map([["length", length]]), options)
}

/** The code and text of the fault that a kernel runs into. */
export function faultOf(k: LoopKernel, inputs: Record<string, Memory>, options?: LoopOptions): string {
  try {
    interpretLoop(k, new Map(Object.entries(inputs)), new Map(), options)
  } catch (e) {
    if (e instanceof LoopFault) return `${e.code}: ${e.message}`
    throw e
  }
  return "no fault"
}

export const floats = (size: number) => allocateBuffer("f32", "f32", size)
export const numbers = (size: number, of: (i: number) => number) => Array.from({ length: size }, (_, i) => of(i))
export const at = add(mul(block, n(8)), lane)
