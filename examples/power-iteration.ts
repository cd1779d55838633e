/**
 * The largest eigenvalue of a symmetric matrix: x ← A·x / |A·x|, again and again, tends to its vector, and xᵀ·A·x to the eigenvalue.
 * Shows: two axes of one extent (`upTo` with a symbol), `dot` as matrix times vector and as norm, a result renamed to be the next argument.
 */
import { call, defineProgram, dot, input, map, mul, rename, type Tensor, upTo } from "../dsl/index.js"

const n = upTo(1024, "n")

function step(x: Tensor<"column">, matrix: Tensor<"row" | "column">): Tensor<"column"> {
  const y = dot(matrix, x, "column")
  const inverse = map((square) => 1 / Math.sqrt(square), dot(y, y, "row"))
  return rename(mul(y, inverse), "row", "column")
}

export const program = defineProgram({
  inputs: { matrix: input({ row: n, column: n }), start: input({ column: n }) },
  outputs: { value: [], vector: ["column"] },
  run({ matrix, start }) {
    let x = start
    for (let i = 0; i < 32; i++) x = call(step, x, matrix)
    const y = dot(matrix, x, "column")
    return { value: dot(y, rename(x, "column", "row"), "row"), vector: x }
  },
})
