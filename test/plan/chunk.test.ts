/** How many tokens of a prompt one step takes, where nobody says it; on hardware that binds eight buffers, as any adapter does. */
import { expect, test } from "vitest"
import { compileProgram } from "../../compiler/compile.js"
import { qwen3 } from "../support/driver.js"

const config = {
  model_type: "qwen3",
  vocab_size: 65536,
  hidden_size: 32,
  intermediate_size: 32,
  num_hidden_layers: 1,
  num_attention_heads: 1,
  num_key_value_heads: 1,
  head_dim: 32,
  rms_norm_eps: 1e-6,
  rope_theta: 10000,
  tie_word_embeddings: true,
}
const hardware = { subgroupSize: 32, bindingBytes: 2 ** 30 }

test.each([
  ["on hardware as many as fill it", 4096, hardware, {}, 512],
  ["no more than one buffer holds the logits of", 4096, { ...hardware, bindingBytes: 2 ** 26 }, {}, 256],
  ["as many as are asked for, but no more than the context has", 300, hardware, { chunk: 700 }, 300],
])("%s", async (_, context, adapter, options, chunk) => {
  const program = (await qwen3()).configure({ ...config, max_position_embeddings: context })
  const { artifact } = compileProgram(program, "qwen3", {
    target: "webgpu",
    storage: () => "bf16",
    entries: ["prefill", "greedy"],
    adapter,
    ...options,
  })
  expect(artifact.model?.chunk).toBe(chunk)
})
