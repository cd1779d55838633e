/** c = a · b of 4096 × 4096 f32 matrices. */
import { defineProgram, dot, input } from "../../dsl/index.js"

const size = 4096

export const program = defineProgram({
  inputs: { a: input({ m: size, k: size }), b: input({ k: size, n: size }) },
  outputs: { c: ["m", "n"] },
  run: ({ a, b }) => ({ c: dot(a, b, "k") }),
})
