/** What each family asks of a checkpoint, and what it refuses. Numbers: test/golden holds them to transformers. */
import { readdirSync, readFileSync } from "node:fs"
import { describe, expect, test } from "vitest"
import { ZodError } from "zod"
import type { Model } from "../../dsl/index.js"
import { families } from "../../models/index.js"
import { model as llama } from "../../models/llama.js"
import { model as mistral } from "../../models/mistral.js"
import { model as mixtral } from "../../models/mixtral.js"
import { model as olmoe } from "../../models/olmoe.js"
import { model as qwen2 } from "../../models/qwen2.js"
import { model as qwen3 } from "../../models/qwen3.js"
import { rotaryFrequencies } from "../../models/rotary.js"
import { parametersOf, tensorShapes } from "../support/specs.js"

const models: Readonly<Record<string, Model>> = {
  "llama.ts": llama,
  "mistral.ts": mistral,
  "mixtral.ts": mixtral,
  "olmoe.ts": olmoe,
  "qwen2.ts": qwen2,
  "qwen3.ts": qwen3,
}

test("every family is in the table, and every file of the table is a family's", () => {
  for (const [family, file] of Object.entries(families)) expect(models[file]!.families, file).toContain(family)
  expect(Object.values(models).flatMap((m) => m.families)).toHaveLength(Object.keys(families).length)
})

test("a model's file has at most 250 lines, and one that families share names none of them", () => {
  const files = readdirSync("models").filter((name) => name.endsWith(".ts"))
  for (const name of files) {
    const text = readFileSync(`models/${name}`, "utf8")
    expect(text.split("\n").length, name).toBeLessThanOrEqual(251)
    const others = Object.keys(families).filter((family) => !models[name]?.families.includes(family))
    // A comment may compare; names of kernels come from what is code.
    const code = text.replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, "").replaceAll("llama3", "")
    if (name !== "index.ts") for (const family of others) expect(code, name).not.toMatch(new RegExp(`\\b${family}\\b`))
  }
})

function storedShapes(folder: string): Map<string, readonly number[]> {
  const file = readFileSync(`${folder}/model.safetensors`)
  const header: Record<string, { shape: number[] }> = JSON.parse(
    file.subarray(8, 8 + Number(file.readBigUInt64LE(0))).toString(),
  )
  return new Map(Object.entries(header).flatMap(([k, v]) => (k === "__metadata__" ? [] : [[k, v.shape] as const])))
}

const folders = readdirSync("test/golden", { withFileTypes: true }).filter((f) => f.isDirectory())
test.each(folders.map((f) => f.name))("%s has exactly the tensors that are asked for", (name) => {
  const config = JSON.parse(readFileSync(`test/golden/${name}/config.json`, "utf8"))
  const asked = [...tensorShapes(models[families[config.model_type]!]!, config)]
  // The one row of a gate is no axis.
  const flat = (shapes: readonly (readonly [string, readonly number[]])[]) =>
    Object.fromEntries(shapes.map(([k, shape]) => [k, shape.filter((extent) => extent !== 1)]).sort())
  expect(flat(asked)).toEqual(flat([...storedShapes(`test/golden/${name}`)]))
})

const common = { hidden_act: "silu", tie_word_embeddings: false, rms_norm_eps: 1e-5 }
const published: readonly (readonly [string, number, object])[] = [
  [
    "Llama-3.2-1B",
    1_235_814_400,
    {
      ...common,
      model_type: "llama",
      vocab_size: 128256,
      hidden_size: 2048,
      intermediate_size: 8192,
      num_hidden_layers: 16,
      num_attention_heads: 32,
      num_key_value_heads: 8,
      head_dim: 64,
      tie_word_embeddings: true,
      max_position_embeddings: 131072,
      rope_theta: 500000,
      rope_scaling: {
        factor: 32,
        high_freq_factor: 4,
        low_freq_factor: 1,
        original_max_position_embeddings: 8192,
        rope_type: "llama3",
      },
    },
  ],
  [
    "Mistral-7B-v0.1",
    7_241_732_096,
    {
      ...common,
      model_type: "mistral",
      vocab_size: 32000,
      hidden_size: 4096,
      intermediate_size: 14336,
      num_hidden_layers: 32,
      num_attention_heads: 32,
      num_key_value_heads: 8,
      sliding_window: 4096,
      max_position_embeddings: 32768,
    },
  ],
  [
    "Mixtral-8x7B-v0.1",
    46_702_792_704,
    {
      ...common,
      model_type: "mixtral",
      vocab_size: 32000,
      hidden_size: 4096,
      intermediate_size: 14336,
      num_hidden_layers: 32,
      num_attention_heads: 32,
      num_key_value_heads: 8,
      num_local_experts: 8,
      num_experts_per_tok: 2,
      sliding_window: null,
    },
  ],
  [
    "OLMoE-1B-7B",
    6_919_161_856,
    {
      ...common,
      model_type: "olmoe",
      vocab_size: 50304,
      hidden_size: 2048,
      intermediate_size: 1024,
      num_hidden_layers: 16,
      num_attention_heads: 16,
      num_key_value_heads: 16,
      num_experts: 64,
    },
  ],
  [
    "Qwen2.5-0.5B",
    494_032_768,
    {
      ...common,
      model_type: "qwen2",
      vocab_size: 151936,
      hidden_size: 896,
      intermediate_size: 4864,
      num_hidden_layers: 24,
      num_attention_heads: 14,
      num_key_value_heads: 2,
      tie_word_embeddings: true,
      max_window_layers: 24,
      sliding_window: 32768,
      use_sliding_window: false,
    },
  ],
  [
    "Qwen1.5-MoE-A2.7B",
    14_315_784_192,
    {
      ...common,
      model_type: "qwen2_moe",
      vocab_size: 151936,
      hidden_size: 2048,
      intermediate_size: 5632,
      num_hidden_layers: 24,
      num_attention_heads: 16,
      num_key_value_heads: 16,
      num_experts: 60,
      moe_intermediate_size: 1408,
      shared_expert_intermediate_size: 5632,
    },
  ],
]

test.each(published)("%s has %i parameters", (_, parameters, config) => {
  expect(parametersOf(modelFor(config), config)).toBe(parameters)
})

const modelFor = (config: object) => models[families[(config as { model_type: string }).model_type]!]!
const configOf = (name: string) => published.find(([n]) => n === name)![2]

test("contexts: stretched positions of llama3 are counted in max_position_embeddings already", () => {
  expect(llama.configure(configOf("Llama-3.2-1B")).facts.context).toBe(131072)
  expect(mistral.configure({ ...configOf("Mistral-7B-v0.1"), max_position_embeddings: undefined }).facts.context).toBe(
    131072,
  )
})

/** By transformers 5.18, `ROPE_INIT_FUNCTIONS["llama3"]`, in f32: the first, the last that is kept, those between, the last. */
const frequencies32 = [
  [0, 1],
  [14, 0.0032114461064338684],
  [15, 0.0012905480107292533],
  [16, 0.000429556705057621],
  [17, 9.708286233944818e-5],
  [18, 1.9461638657958247e-5],
  [31, 9.418306490260875e-8],
] as const

test("frequencies of Llama-3.2-1B", () => {
  const { frequencies, scaling } = rotaryFrequencies(configOf("Llama-3.2-1B") as never, 64)
  expect(scaling).toBe(1)
  for (const [i, f] of frequencies32) expect(frequencies[i]! / f, `${i}`).toBeCloseTo(1, 5)
})

describe("refused", () => {
  const rope = { rope_type: "llama3", factor: 8, low_freq_factor: 1, high_freq_factor: 4 }
  const all = { ...rope, original_max_position_embeddings: 8192 }
  test.each([
    [
      "Llama-3.2-1B",
      { rope_scaling: rope },
      "rope_scaling",
      "rope_type 'llama3' needs original_max_position_embeddings",
    ],
    [
      "Llama-3.2-1B",
      { rope_scaling: { ...all, high_freq_factor: 1 } },
      "rope_scaling",
      "high_freq_factor is more than low_freq_factor",
    ],
    ["Llama-3.2-1B", { num_key_value_heads: 5 }, "num_key_value_heads", "32 query heads do not share 5 key heads"],
    ["Llama-3.2-1B", { hidden_act: "gelu" }, "hidden_act", "hidden_act 'gelu' is not supported; silu is"],
    ["Mistral-7B-v0.1", { layer_types: ["sliding_attention"] }, "layer_types", "there are 1 layer_types for 32 layers"],
    [
      "Mistral-7B-v0.1",
      { layer_types: Array.from({ length: 32 }, (_, i) => (i % 4 ? "sliding_attention" : "full_attention")) },
      "layer_types",
      "layers of several kinds are not this family's (ministral); all are sliding_attention",
    ],
    ["Mixtral-8x7B-v0.1", { num_experts_per_tok: 9 }, "num_experts_per_tok", "9 of 8 experts cannot be chosen"],
    ["OLMoE-1B-7B", { clip_qkv: -1 }, "clip_qkv", "Too small: expected number to be >0"],
    ["OLMoE-1B-7B", { vocab_size: 97 }, "eos_token_id", "50279 is no token: vocab_size is 97"],
    ["Qwen2.5-0.5B", { qkv_bias: false }, "qkv_bias", "qwen2 has biases; qkv_bias false is qwen2_moe's"],
    [
      "Qwen2.5-0.5B",
      { layer_types: Array(24).fill("sliding_attention") },
      "layer_types",
      "layer_types names sliding_attention, and use_sliding_window or sliding_window is off",
    ],
  ])("%s with %o", (name, fields, path, message) => {
    const config = { ...configOf(name), ...fields }
    const attempt = () => modelFor(config).configure(config)
    expect(attempt).toThrow(ZodError)
    try {
      attempt()
    } catch (error) {
      expect((error as ZodError).issues.map((issue) => [issue.path[0], issue.message])).toEqual([[path, message]])
    }
  })
})
