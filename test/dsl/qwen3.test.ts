/** What Qwen3 asks of a checkpoint, and which configs it refuses. */
import { describe, expect, test } from "vitest"
import { ZodError } from "zod"
import type { StateSpec, WeightSpec } from "../../dsl/tracing.js"
import { families } from "../../models/index.js"
import { model } from "../../models/qwen3.js"
import { parametersOf, specs, tensorShapes } from "../support/specs.js"

const small = {
  model_type: "qwen3_moe",
  vocab_size: 97,
  hidden_size: 64,
  intermediate_size: 96,
  num_hidden_layers: 4,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 24,
  num_experts: 8,
}

const weightsOf = (config: object) => specs(model.configure(config).weights) as readonly WeightSpec[]
const namesOf = (config: object) => weightsOf(config).flatMap((w) => w.tensors)
const shapesOf = (config: object) => tensorShapes(model, config)
const parameterCount = (config: object) => parametersOf(model, config)

describe("weights", () => {
  test("Qwen3-0.6B has 596,049,920 parameters", () => {
    const config = {
      model_type: "qwen3",
      vocab_size: 151936,
      hidden_size: 1024,
      intermediate_size: 3072,
      num_hidden_layers: 28,
      num_attention_heads: 16,
      num_key_value_heads: 8,
      head_dim: 128,
      tie_word_embeddings: true,
    }
    expect(parameterCount(config)).toBe(596_049_920)
  })

  test("Qwen3-30B-A3B has 30,532,122,624 parameters", () => {
    const config = {
      model_type: "qwen3_moe",
      vocab_size: 151936,
      hidden_size: 2048,
      intermediate_size: 6144,
      moe_intermediate_size: 768,
      num_hidden_layers: 48,
      num_attention_heads: 32,
      num_key_value_heads: 4,
      head_dim: 128,
      num_experts: 128,
    }
    expect(parameterCount(config)).toBe(30_532_122_624)
  })

  test("biases on all four projections", () => {
    const names = namesOf({ ...small, attention_bias: true }).filter((name) => name.endsWith(".bias"))
    expect(names.filter((name) => name.includes("layers.0"))).toEqual(
      ["q", "k", "v", "o"].map((p) => `model.layers.0.self_attn.${p}_proj.bias`),
    )
  })

  test("sparse layers follow decoder_sparse_step and mlp_only_layers", () => {
    const sparse = (fields: object) =>
      namesOf({ ...small, ...fields })
        .filter((name) => name.endsWith("mlp.gate.weight"))
        .map((name) => Number(name.split(".")[2]))
    expect(sparse({})).toEqual([0, 1, 2, 3])
    expect(sparse({ decoder_sparse_step: 2 })).toEqual([1, 3])
    expect(sparse({ mlp_only_layers: [0, 3] })).toEqual([1, 2])
    expect(sparse({ model_type: "qwen3" })).toEqual([])
  })

  test("num_local_experts is num_experts, head_dim null is hidden / heads", () => {
    const { num_experts, ...rest } = small
    expect(shapesOf({ ...rest, num_local_experts: num_experts })).toEqual(shapesOf(small))
    const halves = shapesOf({ ...small, head_dim: null }).get("model.layers.0.self_attn.q_norm.weight")
    expect(halves).toEqual([16])
  })
})

describe("facts, state and entry points", () => {
  test("facts", () => {
    const { facts } = model.configure({ ...small, max_position_embeddings: 128, eos_token_id: [1, 2] })
    expect(facts).toEqual({ context: 128, vocabulary: 97, endTokens: [1, 2] })
    expect(model.configure({ ...small, eos_token_id: 7 }).facts.endTokens).toEqual([7])
    expect(model.configure(small).facts.endTokens).toEqual([])
  })

  test("a key and a value cache for each layer, then the logits and the token", () => {
    const states = specs(model.configure({ ...small, max_position_embeddings: 128 }).states) as readonly StateSpec[]
    const cache = [
      { axis: "key", extent: 128, grows: true },
      { axis: "kv", extent: 2, grows: false },
      { axis: "dim", extent: 24, grows: false },
    ]
    expect(states.map((s) => s.axes)).toEqual([
      ...Array.from({ length: 8 }, () => cache),
      [{ axis: "vocab", extent: 97, grows: false }],
      [{ axis: "seq", extent: 1, grows: false }],
    ])
    expect(states.at(-1)?.dtype).toBe("i32")
  })

  test("entry points and their inputs", () => {
    const inputs = model.configure(small).entries.map(({ name, inputs }) => [name, Object.keys(inputs)])
    expect(Object.fromEntries(inputs)).toEqual({
      prefill: ["tokens"],
      step: [],
      logits: ["tokens"],
      greedy: [],
      sample: ["sampling"],
      draw: ["sampling"],
    })
  })

  test("every family is in the table", () => {
    expect(model.families.map((family) => families[family])).toEqual(["qwen3.ts", "qwen3.ts"])
  })
})

describe("refused", () => {
  test.each([
    [{ hidden_act: "gelu" }, "hidden_act", "hidden_act 'gelu' is not supported; silu is"],
    [
      { quantization_config: { quant_method: "gptq" } },
      "quantization_config",
      "a quantization_config is read where the weights are: give the folder of the checkpoint",
    ],
    [
      { rope_scaling: { rope_type: "dynamic", factor: 8 } },
      "rope_scaling",
      "rope_type 'dynamic' is not supported; default, linear, yarn, llama3 are",
    ],
    [
      { rope_parameters: { rope_type: "default" }, rope_scaling: { rope_type: "yarn", factor: 4 } },
      "rope_scaling",
      "rope_scaling stands beside rope_parameters; leave one",
    ],
    [{ partial_rotary_factor: 0.5 }, "partial_rotary_factor", "partial_rotary_factor other than 1 is not supported"],
    [{ num_attention_heads: 5 }, "num_key_value_heads", "5 query heads do not share 2 key heads"],
    [{ head_dim: 25 }, "head_dim", "a head has 25 channels; rotary positions need pairs"],
    [{ num_experts_per_tok: 9 }, "num_experts_per_tok", "9 of 8 experts cannot be chosen"],
    [{ model_type: "qwen3", layer_types: ["full_attention"] }, "layer_types", "there are 1 layer_types for 4 layers"],
    [
      { model_type: "qwen3", layer_types: Array(4).fill("sliding_attention") },
      "layer_types",
      "layer_types names sliding_attention, and use_sliding_window or sliding_window is off",
    ],
    [{ num_hidden_layers: 1e9 }, "num_hidden_layers", "Too big: expected number to be <=1000"],
    [{ num_experts: 1e9 }, "num_experts", "Too big: expected number to be <=1000"],
    [{ max_position_embeddings: 2 ** 40 }, "max_position_embeddings", "Too big: expected number to be <=2147483647"],
    [{ vocab_size: undefined }, "vocab_size", "Invalid input: expected number, received undefined"],
  ])("%o", (fields, path, message) => {
    const attempt = () => model.configure({ ...small, ...fields })
    expect(attempt).toThrow(ZodError)
    try {
      attempt()
    } catch (error) {
      expect((error as ZodError).issues.map((issue) => [issue.path[0], issue.message])).toEqual([[path, message]])
    }
  })

  test.each([
    [{ eos_token_id: -1 }, "expected number to be >=0"],
    [{ eos_token_id: "2" }, "it is a token, or a list of tokens"],
    [{ eos_token_id: [2, 1.5] }, "it is a token, or a list of tokens"],
    [{ eos_token_id: [[2]] }, "it is a token, or a list of tokens"],
    [{ eos_token_id: [2, 97] }, "97 is no token: vocab_size is 97"],
    [{ eos_token_id: 10 ** 10 }, "10000000000 is no token: vocab_size is 97"],
  ])("end tokens that are none: %o", (fields, message) => {
    expect(() => model.configure({ ...small, ...fields })).toThrow(message)
  })

  test("what turns a field off, and fields that nothing uses, block nothing", () => {
    const { experts: _, ...plain } = { ...small, experts: 0, model_type: "qwen3" }
    const asked = namesOf(plain)
    const silent = {
      num_experts: 0,
      num_experts_per_tok: null,
      moe_intermediate_size: 0,
      sliding_window: -1,
      max_window_layers: -1,
    }
    const nulls = [
      "head_dim",
      "hidden_act",
      "attention_bias",
      "layer_types",
      "rope_scaling",
      "quantization_config",
      "eos_token_id",
    ]
    const off = { ...silent, ...Object.fromEntries(nulls.map((name) => [name, null])), head_dim: 24 }
    expect(namesOf({ ...plain, ...off })).toEqual(asked)
    expect(namesOf({ ...plain, rope_scaling: {}, quantization_config: {}, initializer_range: Infinity })).toEqual(asked)
    const rope = { rope_type: "yarn", factor: 4 }
    expect(namesOf({ ...plain, rope_scaling: rope, rope_parameters: { ...rope, rope_theta: 1e6 } })).toEqual(asked)
  })

  test("unknown fields are ignored", () => {
    expect(() => model.configure({ ...small, router_aux_loss_coef: 0.1, use_cache: true })).not.toThrow()
  })
})
