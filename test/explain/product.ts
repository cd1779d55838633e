/** A product of the size of a prompt's. */
import { defineProgram, dot, input } from "../../dsl/index.js"

export const extents = { row: 512, out: 1024, k: 4096 }

export const program = defineProgram({
  inputs: { x: input({ row: extents.row, k: extents.k }), w: input({ out: extents.out, k: extents.k }) },
  outputs: { y: ["row", "out"] },
  run: ({ x, w }) => ({ y: dot(x, w, "k") }),
})
