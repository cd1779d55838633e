/**
 * Which of many causes explain what was seen, and what they say together: with x[row, cause] = evidence[row, cause] + prior[cause], logarithms of
 * probabilities, total[row] = log Σ_cause exp(x[row, cause]), and of what each cause predicts the mean by those weights,
 * mean[row, channel] = Σ_cause exp(x[row, cause] − total[row]) · predicted[row, cause, channel].
 * What must move is the evidence and the predictions, once; a largest element, a sum and a payload are carried along a row.
 */
import { defineProgram, dot, input, map, max, sum } from "../../dsl/index.js"

export const logSumExp = (rows: number, causes: number, channels: number) =>
  defineProgram({
    inputs: {
      evidence: input({ row: rows, cause: causes }),
      prior: input({ cause: causes }),
      predicted: input({ row: rows, cause: causes, channel: channels }),
    },
    outputs: { total: ["row"], mean: ["row", "channel"] },
    run({ evidence, prior, predicted }) {
      const x = map((e, p) => e + p, evidence, prior)
      const largest = max(x, "cause")
      const weight = map((v, m) => Math.exp(v - m), x, largest)
      const weights = sum(weight, "cause")
      const mean = map((s, all) => s / all, dot(weight, predicted, "cause"), weights)
      return { total: map((m, all) => m + Math.log(all), largest, weights), mean }
    },
  })

export const program = logSumExp(1 << 6, 1 << 14, 128)
