/** Choosing the next token, written in the language. */
import { argmax, max } from "./fold.js"
import { map, mapTo } from "./map.js"
import { bits } from "./scalar.js"
import type { Tensor } from "./tensor.js"

/** The order of the values in the input `sampling`, each one u32. */
export const samplingFields = ["temperature", "topK", "topP", "minP", "seedLow", "seedHigh", "step"] as const

/** The token with the largest logit, the lowest on ties; −1 when some logit is not finite. */
export function greedyToken(logits: Tensor<"vocab">): Tensor<never, "i32"> {
  return finiteOr(logits, argmax(logits, "vocab"))
}

function finiteOr(logits: Tensor<"vocab">, token: Tensor<never, "i32">): Tensor<never, "i32"> {
  const largest = max(
    mapTo("u32", (x) => bits(x) & 0x7f800000, logits),
    "vocab",
  )
  return mapTo("i32", (t, exponent) => (exponent === 0x7f800000 ? -1 : t), token, largest)
}

export function sampleToken(logits: Tensor<"vocab">, _sampling: Tensor<"field", "u32">): Tensor<never, "i32"> {
  return greedyToken(map((x) => x, logits))
}
