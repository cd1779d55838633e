/** Models whose kernels the costs are held for: published configs, two more architectures, and shapes of which no config is known. */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { loadModel } from "../../compiler/frontend/load.js"
import type { Model } from "../../dsl/index.js"
import { qwen3 } from "../support/driver.js"
import { root } from "../support/goldens.js"

const config = (path: string): Record<string, unknown> => JSON.parse(readFileSync(join(root, path), "utf8"))

const small = { ...config("test/configs/qwen3-0.6b.json"), num_hidden_layers: 2, vocab_size: 32768, eos_token_id: 0 }
const experts = {
  ...config("test/configs/qwen3-30b-a3b.json"),
  num_hidden_layers: 2,
  vocab_size: 32768,
  eos_token_id: 0,
}

const shipped: Readonly<Record<string, Record<string, unknown>>> = {
  "qwen3-0.6b": config("test/configs/qwen3-0.6b.json"),
  "qwen3-1.7b": config("test/configs/qwen3-1.7b.json"),
  "qwen3-8b": config("test/configs/qwen3-8b.json"),
  "qwen3-30b-a3b": config("test/configs/qwen3-30b-a3b.json"),
  "qwen3-235b-a22b": config("test/configs/qwen3-235b-a22b.json"),
  tales: config("models/tales/config.json"),
  "heads of 64": { ...small, num_attention_heads: 16, num_key_value_heads: 8, head_dim: 64 },
  "heads of 96, one key head": { ...small, num_attention_heads: 8, num_key_value_heads: 1, head_dim: 96 },
  "few wide experts": { ...experts, num_experts: 8, num_experts_per_tok: 2, moe_intermediate_size: 4096 },
}

const blocks: Readonly<Record<string, Record<string, unknown>>> = {
  "llama-3.2-1b": {
    kind: "llama",
    layers: 16,
    embed: 2048,
    kv: 8,
    rep: 4,
    dim: 64,
    hidden: 8192,
    vocab: 128256,
    context: 8192,
  },
  "gpt-2 small": {
    kind: "gpt2",
    layers: 12,
    embed: 768,
    kv: 12,
    rep: 1,
    dim: 64,
    hidden: 3072,
    vocab: 50257,
    context: 1024,
  },
}

export const shapes = [...Object.keys(shipped), ...Object.keys(blocks)]

/** What picks a token depends on the vocabulary alone, and `logits` is `prefill` with another end: of some shapes all entries, of the others two. */
export const entriesOf = (shape: string): readonly string[] | undefined =>
  ["qwen3-0.6b", "tales", "llama-3.2-1b", "gpt-2 small"].includes(shape) ? undefined : ["step", "prefill"]

let ofBlocks: Promise<Model> | undefined

export async function configured(shape: string) {
  const own = blocks[shape]
  if (own === undefined) return (await qwen3()).configure(shipped[shape]!)
  ofBlocks ??= loadModel(join(root, "test", "models", "blocks.ts")).then(({ module }) => module.model as Model)
  return (await ofBlocks).configure(own)
}
