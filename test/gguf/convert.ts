/**
 * A folder's checkpoint as llama.cpp's converter would write it: names, permuted heads of Llama, stacks of experts, numbers that are said by
 * the tensors. `converter.test.ts` holds it to what that has made.
 */
import type { Checkpoint } from "../../runtime/weights/checkpoint.js"
import { toFloat32 } from "../../runtime/weights/dtypes.js"
import { quantizers } from "../../runtime/weights/quantize/quantizers.js"
import { type Datum, type GgufToWrite, ggmlTypes, type TensorToWrite } from "../support/gguf.js"

/** What of a golden's config is written. */
interface Config {
  readonly model_type: string
  readonly vocab_size: number
  readonly hidden_size: number
  readonly intermediate_size: number
  readonly num_hidden_layers: number
  readonly num_attention_heads: number
  readonly num_key_value_heads: number
  readonly head_dim?: number | null
  readonly max_position_embeddings: number
  readonly rms_norm_eps: number
  readonly eos_token_id: number
  readonly rope_parameters: {
    readonly rope_type: string
    readonly rope_theta: number
    readonly factor: number
    readonly low_freq_factor: number
    readonly high_freq_factor: number
    readonly original_max_position_embeddings: number
  }
  readonly use_sliding_window?: boolean
  readonly sliding_window?: number | null
  readonly layer_types?: readonly string[]
  readonly num_experts?: number
  readonly num_local_experts?: number
  readonly num_experts_per_tok?: number
  readonly moe_intermediate_size?: number
  readonly shared_expert_intermediate_size?: number
  readonly norm_topk_prob?: boolean
}

export interface ConvertOptions {
  /** Vectors and routers in F32, as the converter has them; else all as in the folder. */
  readonly vectors?: "F32" | "stored"
  /** How experts are written. */
  readonly experts?: "stacked" | "fused" | "split"
  readonly qkv?: "fused" | "apart"
  /** Matrices but the router's in blocks, where their rows are some. */
  readonly blocks?: "Q8_0"
}

const architectures: Readonly<Record<string, string>> = {
  llama: "llama",
  mistral: "llama",
  mixtral: "llama",
  olmoe: "olmoe",
  qwen2: "qwen2",
  qwen2_moe: "qwen2moe",
  qwen3: "qwen3",
  qwen3_moe: "qwen3moe",
}

interface Piece {
  readonly type: keyof typeof ggmlTypes | "Q8_0"
  readonly shape: readonly number[]
  readonly data: Uint8Array
}

const layerNames: readonly (readonly [RegExp, string])[] = [
  [/^input_layernorm$/, "attn_norm"],
  [/^post_attention_layernorm$/, "ffn_norm"],
  [/^self_attn\.([qkv])_proj$/, "attn_$1"],
  [/^self_attn\.o_proj$/, "attn_output"],
  [/^self_attn\.([qk])_norm$/, "attn_$1_norm"],
  [/^mlp\.(gate|up|down)_proj$/, "ffn_$1"],
  [/^(?:mlp|block_sparse_moe)\.gate$/, "ffn_gate_inp"],
  [/^mlp\.shared_expert_gate$/, "ffn_gate_inp_shexp"],
  [/^mlp\.shared_expert\.(gate|up|down)_proj$/, "ffn_$1_shexp"],
]
const expertNames: Readonly<Record<string, string>> = {
  w1: "gate",
  w2: "down",
  w3: "up",
  gate_proj: "gate",
  up_proj: "up",
  down_proj: "down",
}

export async function convert(checkpoint: Checkpoint, options: ConvertOptions = {}): Promise<GgufToWrite> {
  const config = checkpoint.config as unknown as Config
  const architecture = architectures[config.model_type]!
  const pieces = new Map<string, Piece>()
  const experts = new Map<string, Piece[]>()
  for (const tensor of checkpoint.tensors.values()) {
    const [, stem, kind] = /^(.*)\.(weight|bias)$/.exec(tensor.name)!
    const bytes = (await checkpoint.read(tensor)).slice()
    const isVector = tensor.shape.length === 1 || tensor.shape[0] === 1 || stem!.endsWith(".gate")
    const isBlocks = options.blocks && !isVector && tensor.shape.at(-1)! % 32 === 0
    const piece: Piece = isBlocks
      ? { type: "Q8_0", shape: tensor.shape, data: blocksOf(toFloat32(tensor.dtype as "BF16", bytes)) }
      : isVector && options.vectors !== "stored"
        ? {
            type: "F32",
            shape: tensor.shape,
            data: new Uint8Array(toFloat32(tensor.dtype as "BF16", bytes).buffer),
          }
        : { type: tensor.dtype as "BF16", shape: tensor.shape, data: bytes }
    if (stem === "model.embed_tokens") pieces.set("token_embd.weight", piece)
    else if (stem === "model.norm") pieces.set("output_norm.weight", piece)
    else if (stem === "lm_head") pieces.set("output.weight", piece)
    else {
      const [, layer, rest] = /^model\.layers\.(\d+)\.(.*)$/.exec(stem!)!
      const [, e, part] = /^(?:mlp|block_sparse_moe)\.experts\.(\d+)\.(\w+)$/.exec(rest!) ?? []
      if (e !== undefined) {
        const key = `blk.${layer}.ffn_${expertNames[part!]}`
        if (!experts.has(key)) experts.set(key, [])
        experts.get(key)![Number(e)] = piece
        continue
      }
      const [pattern, to] = layerNames.find(([p]) => p.test(rest!))!
      const name = `blk.${layer}.${rest!.replace(pattern, to)}.${kind}`
      const heads = /attn_[qk]\.(weight|bias)$/.test(name) && architecture === "llama"
      const headCount = name.includes("attn_q") ? config.num_attention_heads : config.num_key_value_heads
      pieces.set(name, heads ? permuted(piece, headCount) : piece)
    }
  }
  addExperts(pieces, experts, options.experts ?? "stacked")
  if (options.qkv === "fused") fuseHeads(pieces)
  const divisors = divisorsOf(config)
  if (divisors)
    pieces.set("rope_freqs.weight", { type: "F32", shape: [divisors.length], data: new Uint8Array(divisors.buffer) })
  const tensors = [...pieces].map(
    ([name, { type, shape, data }]): TensorToWrite => ({
      name,
      type: type === "Q8_0" ? 8 : ggmlTypes[type],
      shape,
      data,
    }),
  )
  return { metadata: metadataOf(config, architecture), tensors }
}

export function blocksOf(weights: Float32Array): Uint8Array {
  const { quantize, block, bytes } = quantizers.q8_0
  const into = new Uint8Array((weights.length / block) * bytes)
  quantize(weights, into)
  return into
}

/** w.reshape(heads, 2, d / 2, …).swapaxes(1, 2) */
function permuted(piece: Piece, heads: number): Piece {
  const rows = piece.shape[0]!
  const row = piece.data.length / rows
  const half = rows / heads / 2
  const data = new Uint8Array(piece.data.length)
  let to = 0
  for (let h = 0; h < heads; h++)
    for (let j = 0; j < half; j++)
      for (let p = 0; p < 2; p++, to++) {
        const from = h * half * 2 + p * half + j
        data.set(piece.data.subarray(from * row, (from + 1) * row), to * row)
      }
  return { ...piece, data }
}

function joined(pieces: readonly Piece[], shape: readonly number[]): Piece {
  const data = new Uint8Array(pieces.reduce((n, p) => n + p.data.length, 0))
  let at = 0
  for (const piece of pieces) {
    data.set(piece.data, at)
    at += piece.data.length
  }
  return { type: pieces[0]!.type, shape, data }
}

function addExperts(
  pieces: Map<string, Piece>,
  experts: ReadonlyMap<string, Piece[]>,
  how: NonNullable<ConvertOptions["experts"]>,
): void {
  for (const [key, all] of experts) {
    const [rows, columns] = all[0]!.shape as [number, number]
    if (how === "split") all.forEach((piece, e) => void pieces.set(`${key}.${e}.weight`, piece))
    else if (how === "stacked" || key.endsWith("down"))
      pieces.set(`${key}_exps.weight`, joined(all, [all.length, rows, columns]))
    else if (key.endsWith("gate")) {
      const up = experts.get(key.replace("gate", "up"))!
      const both = all.flatMap((piece, e) => [piece, up[e]!])
      pieces.set(`${key}_up_exps.weight`, joined(both, [all.length, rows * 2, columns]))
    }
  }
}

function fuseHeads(pieces: Map<string, Piece>): void {
  for (const [name, q] of [...pieces]) {
    if (!name.includes("attn_q.")) continue
    const three = [q, ...["attn_k.", "attn_v."].map((part) => pieces.get(name.replace("attn_q.", part))!)]
    for (const part of ["attn_q.", "attn_k.", "attn_v."]) pieces.delete(name.replace("attn_q.", part))
    const rows = three.reduce((n, p) => n + p.shape[0]!, 0)
    pieces.set(name.replace("attn_q.", "attn_qkv."), joined(three, [rows, ...q.shape.slice(1)]))
  }
}

const headSize = (config: Config): number => config.head_dim ?? config.hidden_size / config.num_attention_heads

/** In float32, as the converter computes them. */
function divisorsOf(config: Config): Float32Array | undefined {
  const rope = config.rope_parameters
  if (rope?.rope_type !== "llama3") return undefined
  const dim = headSize(config)
  const { factor, low_freq_factor: low, high_freq_factor: high, original_max_position_embeddings: original } = rope
  return Float32Array.from({ length: dim / 2 }, (_, i) => {
    const frequency = Math.fround(1 / Math.fround(rope.rope_theta ** ((2 * i) / dim)))
    const wave = (2 * Math.PI) / frequency
    if (wave < original / high) return 1
    if (wave > original / low) return factor
    const smooth = (original / wave - low) / (high - low)
    return 1 / ((1 - smooth) / factor + smooth)
  })
}

function metadataOf(config: Config, architecture: string): [string, Datum][] {
  const rope = config.rope_parameters
  const window = config.use_sliding_window === false ? undefined : config.sliding_window
  const size =
    config.model_type === "mixtral" || config.model_type === "olmoe" ? undefined : config.moe_intermediate_size
  const fields: Readonly<Record<string, Datum | undefined | null>> = {
    block_count: config.num_hidden_layers,
    context_length: config.max_position_embeddings,
    embedding_length: config.hidden_size,
    feed_forward_length: config.intermediate_size,
    "attention.head_count": config.num_attention_heads,
    "attention.head_count_kv": config.num_key_value_heads,
    "attention.key_length": config.head_dim,
    "attention.value_length": config.head_dim,
    "attention.layer_norm_rms_epsilon": { f32: config.rms_norm_eps },
    "rope.freq_base": { f32: rope.rope_theta },
    "rope.scaling.type": rope.rope_type === "yarn" ? "yarn" : undefined,
    "rope.scaling.factor": rope.rope_type === "yarn" ? { f32: rope.factor } : undefined,
    "rope.scaling.original_context_length":
      rope.rope_type === "yarn" ? rope.original_max_position_embeddings : undefined,
    "rope.dimension_count": architecture === "llama" ? headSize(config) : undefined,
    vocab_size: architecture === "llama" ? config.vocab_size : undefined,
    "attention.sliding_window": window,
    "attention.sliding_window_pattern":
      window && config.layer_types
        ? { flags: config.layer_types.map((t: string) => t === "sliding_attention") }
        : undefined,
    expert_count: config.num_local_experts ?? config.num_experts,
    expert_used_count: config.num_experts_per_tok,
    expert_feed_forward_length: size,
    expert_shared_feed_forward_length: config.shared_expert_intermediate_size,
    expert_weights_norm: config.model_type === "qwen3_moe" && !config.norm_topk_prob ? false : undefined,
  }
  const said = Object.entries(fields).filter(
    (field): field is [string, Datum] => field[1] !== undefined && field[1] !== null && field[1] !== 0,
  )
  return [
    ["general.architecture", architecture],
    ["general.name", config.model_type],
    ...said.map(([key, value]): [string, Datum] => [`${architecture}.${key}`, value]),
    ["tokenizer.ggml.model", "none"],
    ["tokenizer.ggml.eos_token_id", config.eos_token_id],
  ]
}
