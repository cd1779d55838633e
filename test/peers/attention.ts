/** softmax(q · kᵀ / √channels) · v, causal, as its definition says: three folds over the keys, of which the compiler makes one. */
import { causal, defineProgram, dot, extent, input, iota, scale, softmax } from "../../dsl/index.js"

const channels = 128

export const attention = (heads: number, length: number) =>
  defineProgram({
    inputs: {
      q: input({ seq: length, head: heads, dim: channels }),
      k: input({ key: length, head: heads, dim: channels }),
      v: input({ key: length, head: heads, dim: channels }),
    },
    outputs: { y: ["seq", "head", "dim"] },
    run({ q, k, v }) {
      const position = iota("seq", extent(q, "seq"), 0, "position")
      const scores = scale(dot(q, k, "dim"), channels ** -0.5)
      return { y: dot(softmax(causal(scores, position, "key"), "key"), v, "key") }
    },
  })
