/**
 * The feed-forward block of a transformer: y = x + W₂·gelu(W₁·norm(x)), norm(x) = γ·(x − mean) / √(variance + ε) + β along the channels (Ba et
 * al. 2016) and gelu(x) = x/2 · (1 + tanh(√(2/π)·(x + 0.044715·x³))) (Hendrycks and Gimpel 2016).
 * Shows: functions of the language are functions of TypeScript, `size` is a number, and everything but the two products fuses away.
 */
import { add, defineProgram, dot, input, map, size, sum, type Tensor, upTo } from "../dsl/index.js"

type Channels = Tensor<"embed">

function layerNorm(x: Tensor<"token" | "embed">, gain: Channels, bias: Channels): Tensor<"token" | "embed"> {
  const count = size(x, "embed")
  const centred = map((v, total) => v - total / count, x, sum(x, "embed"))
  const squares = map((v) => v * v, centred)
  const deviation = map((s) => Math.sqrt(s / count + 1e-5), sum(squares, "embed"))
  return map((v, d, g, b) => (v / d) * g + b, centred, deviation, gain, bias)
}

const gelu = (x: number) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x)))

const [token, embed, hidden] = [upTo(512), 96, 384]
export const program = defineProgram({
  inputs: {
    x: input({ token, embed }),
    gain: input({ embed }),
    bias: input({ embed }),
    up: input({ hidden, embed }),
    down: input({ embed, hidden }),
  },
  outputs: { y: ["token", "embed"] },
  run({ x, gain, bias, up, down }) {
    const inner = map(gelu, dot(layerNorm(x, gain, bias), up, "embed"))
    return { y: add(x, dot(inner, down, "hidden")) }
  },
})
