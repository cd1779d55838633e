import { defineProgram, dot, input } from "../../dsl/index.js"

export const program = defineProgram({
  inputs: { x: input({ row: 8, k: 64 }), w: input({ out: 32, k: 64 }) },
  outputs: { y: ["row", "out"] },
  run: ({ x, w }) => ({ y: dot(x, w, "k") }),
})
