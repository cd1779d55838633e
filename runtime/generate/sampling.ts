/**
 * The words of the input `sampling`: what the compiled draw reads before each token.
 *
 *     { temperature: 0.8, topK: 40, topP: 0.95, minP: 0, seed: 7 }, 3  →  [bits 0.8, 40, bits 0.95, bits 0, 7, 0, 3]
 */
import type { Settings } from "./options.js"

/** The order in which the language reads them (`samplingFields` of the language; a test holds the two together). */
export const samplingOrder = ["temperature", "topK", "topP", "minP", "seedLow", "seedHigh", "step"] as const

/** The entry point that chooses a token: without top-k and top-p there is nothing to be put in order. */
export function choiceOf({ temperature, topK, topP }: Settings): "greedy" | "draw" | "sample" {
  if (temperature === 0) return "greedy"
  return topK === 0 && topP === 1 ? "draw" : "sample"
}

/** Little-endian bytes for the draw number `step` (from 0) of one generation. */
export function samplingBytes(settings: Settings, step: number): Uint8Array {
  const words = new Uint32Array(samplingOrder.length)
  const floats = new Float32Array(words.buffer)
  for (const [i, field] of samplingOrder.entries()) {
    if (field === "seedLow") words[i] = settings.seed % 2 ** 32
    else if (field === "seedHigh") words[i] = Math.floor(settings.seed / 2 ** 32)
    else if (field === "step") words[i] = step
    else if (field === "topK") words[i] = settings.topK
    else floats[i] = settings[field]
  }
  return new Uint8Array(words.buffer)
}
