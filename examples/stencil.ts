/**
 * A 3×3 stencil: result[y, x] = Σ kernel[dy, dx] · image[y + dy − 1, x + dx − 1], with zeros around the image. Blurs, edges, a step of heat:
 * the kernel is an input.
 * Shows: index maps. `pad` adds a border and `windows` gives every place its neighbours; neither moves data, and a convolution is a `dot`.
 */
import { defineProgram, dot, input, pad, upTo, windows } from "../dsl/index.js"

export const program = defineProgram({
  inputs: { image: input({ row: upTo(2048), column: upTo(2048) }), kernel: input({ dy: 3, dx: 3 }) },
  outputs: { result: ["row", "column"] },
  run({ image, kernel }) {
    const bordered = pad(pad(image, "row", 1, 1), "column", 1, 1)
    const neighbours = windows(windows(bordered, "row", 3, "dy"), "column", 3, "dx")
    return { result: dot(neighbours, kernel, "dy", "dx") }
  },
})
