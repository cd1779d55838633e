/** Names and statements of which tests of WebAssembly build kernels. */
import { literal, variable } from "../../compiler/ir/expression.js"
import type { Statement } from "../../compiler/ir/loop.js"
import type { Expression } from "../../compiler/ir/nodes.js"
import { generator } from "./wasm-support.js"

export const g = variable("g")
export const i = variable("i")
export const j = variable("j")
export const k = variable("k")
export const l = variable("l")
export const f = (x: number) => literal(x, "f32")
export const n = (x: number) => literal(x)
export const range = (count: number) => Array.from({ length: count }, (_, x) => x)
export const numbers = (count: number, seed = 1) => {
  const random = generator(seed)
  return Float32Array.from(range(count), () => Math.floor(random() * 16) - 8)
}
export const barrier: Statement = { kind: "barrier" }
export const assign = (name: string, value: Expression): Statement => ({ kind: "assign", name, value })
export const alloc = (
  name: string,
  size: number,
  space: "register" | "shared",
  dtype: "f32" | "i32" = "f32",
): Statement => ({
  kind: "alloc",
  name,
  dtype,
  size,
  space,
})
export const when = (condition: Expression, body: Statement[], otherwise: Statement[] = []): Statement => ({
  kind: "if",
  condition,
  body,
  otherwise,
})
