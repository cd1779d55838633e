/** Programs of sums over long axes; loaded as authors' files are. */
import { defineProgram, dot, input, map, max, softmax, sum, upTo } from "../../dsl/index.js"

export const total = defineProgram({
  inputs: { x: input({ n: upTo(1 << 24) }) },
  outputs: { total: [] },
  run: ({ x }) => ({ total: sum(x, "n") }),
})

/** No axis of these is longer than 4,096. */
export const square = defineProgram({
  inputs: { x: input({ a: upTo(2048), b: upTo(2048) }) },
  outputs: { total: [] },
  run: ({ x }) => ({ total: sum(sum(x, "b"), "a") }),
})

const count = 50_000
const columns = { x: input({ row: upTo(8), n: count }) }

export const statistics = defineProgram({
  inputs: columns,
  outputs: { mean: ["row"], variance: ["row"], logSumExp: ["row"], squares: ["row"] },
  run({ x }) {
    const mean = map((s) => s / count, sum(x, "n"))
    const deviations = map((v, m) => (v - m) * (v - m), x, mean)
    const top = max(x, "n")
    const weights = sum(
      map((v, m) => Math.exp(v - m), x, top),
      "n",
    )
    const squares = sum(
      map((v) => v * v, x),
      "n",
    )
    return {
      mean,
      variance: map((s) => s / count, sum(deviations, "n")),
      logSumExp: map((m, s) => m + Math.log(s), top, weights),
      squares,
    }
  },
})

export const shares = defineProgram({
  inputs: columns,
  outputs: { shares: ["row", "n"] },
  run: ({ x }) => ({ shares: softmax(x, "n") }),
})

/** Scores that are computed, so that the shares and what they weigh come of one pass. */
export const weighed = defineProgram({
  inputs: {
    q: input({ row: upTo(8), dim: 4 }),
    k: input({ n: upTo(1 << 16), dim: 4 }),
    v: input({ n: upTo(1 << 16), out: 8 }),
  },
  outputs: { y: ["row", "out"] },
  run: ({ q, k, v }) => ({ y: dot(softmax(dot(q, k, "dim"), "n"), v, "n") }),
})

export const products = defineProgram({
  inputs: { x: input({ row: upTo(40), k: 12_288 }), w: input({ out: 40, k: 12_288 }), u: input({ k: 12_288 }) },
  outputs: { y: ["row", "out"], z: ["out"] },
  run: ({ x, w, u }) => ({ y: dot(x, w, "k"), z: dot(w, u, "k") }),
})
