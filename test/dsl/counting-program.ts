/** A draw of one token: more of them than one part has. */
import { defineProgram, input } from "../../dsl/index.js"
import { sampleToken, samplingFields } from "../../dsl/sampling.js"

export const vocabulary = 2100

export const program = defineProgram({
  inputs: { logits: input({ vocab: vocabulary }), sampling: input({ field: samplingFields.length }, "u32") },
  outputs: { token: [] },
  run: ({ logits, sampling }) => ({ token: sampleToken(logits, sampling) }),
})
