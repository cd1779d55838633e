/**
 * How large rows are, and what they say of a probe when all are brought to one size: size[row] = √(mean_channel x²) and
 * score[row] = Σ_channel x[row, channel] / √(size² + ε) · probe[channel].
 * What must move is x, once.
 */
import { defineProgram, dot, input, map } from "../../dsl/index.js"

export const rowNorm = (rows: number, channels: number) =>
  defineProgram({
    inputs: { x: input({ row: rows, channel: channels }), probe: input({ channel: channels }) },
    outputs: { size: ["row"], score: ["row"] },
    run({ x, probe }) {
      const squares = dot(x, x, "channel")
      const even = map((v, s) => v / Math.sqrt(s / channels + 1e-5), x, squares)
      return { size: map((s) => Math.sqrt(s / channels), squares), score: dot(even, probe, "channel") }
    },
  })

export const program = rowNorm(1 << 16, 2048)
