/** Contractions that matrix units take, of which models of language have none; loaded as authors' files are. */
import { defineProgram, dot, input, map, pad, windows } from "../../dsl/index.js"

const twice = { batch: 20, left: 8, out: 24, right: 10 }

/** y[batch, out] = Σ_left Σ_right x[batch, left] · form[out, left, right] · z[batch, right] */
export const bilinear = defineProgram({
  inputs: {
    x: input({ batch: twice.batch, left: twice.left }),
    form: input({ out: twice.out, left: twice.left, right: twice.right }),
    z: input({ batch: twice.batch, right: twice.right }),
  },
  outputs: { y: ["batch", "out"] },
  run: ({ x, form, z }) => ({ y: dot(dot(x, form, "left"), z, "right") }),
})

/** Every place of an image by a kernel of 3 × 3 places and all channels, with zeros around it. */
export const convolution = defineProgram({
  inputs: {
    image: input({ row: 5, column: 7, channel: 8 }),
    kernel: input({ out: 24, dy: 3, dx: 3, channel: 8 }),
  },
  outputs: { y: ["row", "column", "out"] },
  run({ image, kernel }) {
    const bordered = pad(pad(image, "row", 1, 1), "column", 1, 1)
    const neighbours = windows(windows(bordered, "row", 3, "dy"), "column", 3, "dx")
    return { y: dot(neighbours, kernel, "dy", "dx", "channel") }
  },
})

/** Squared distances of all pairs of which a mask says that they count; −1 for others. */
export const distances = defineProgram({
  inputs: {
    p: input({ from: 40, channel: 40 }),
    q: input({ to: 50, channel: 40 }),
    counts: input({ from: 40, to: 50 }, "i32"),
  },
  outputs: { y: ["from", "to"] },
  run({ p, q, counts }) {
    const squares = [dot(p, p, "channel"), dot(q, q, "channel")] as const
    const apart = map((a, b, ab) => a + b - 2 * ab, ...squares, dot(p, q, "channel"))
    return { y: map((d, c) => (c > 0 ? d : -1), apart, counts) }
  },
})
