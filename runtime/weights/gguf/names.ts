/**
 * The tensors of a file under the names that families ask for: each is some rows of one in the file, maybe in another order.
 *
 *     blk.3.attn_q.weight              →   model.layers.3.self_attn.q_proj.weight        its rows put back in order, in files of Llama
 *     blk.3.ffn_up_exps.weight         →   model.layers.3.mlp.experts.{e}.up_proj.weight    a stack: rows e · F to (e + 1) · F
 *     blk.3.ffn_gate_up_exps.weight    →   … gate_proj and up_proj of each expert
 *     blk.3.ffn_gate.5.weight          →   model.layers.3.mlp.experts.5.gate_proj.weight    as files of early Mixtral have it
 *     blk.3.attn_qkv.weight            →   … q_proj, k_proj and v_proj
 *
 * llama.cpp turns neighbouring channels of queries and keys of its architecture `llama`, so its converter interleaves the halves of each
 * head: row 2j + p of a head is row p · d/2 + j of the model. Source: `gguf-py/gguf/tensor_mapping.py`, `conversion/llama.py`.
 */
import { printable, WeftError } from "../../errors.js"
import { type Config, isPermuted } from "./config.js"
import type { GgufTensor } from "./container.js"

/** Rows of a tensor of the file, which stand for a tensor of the model. */
export interface Rows {
  readonly of: GgufTensor
  readonly shape: readonly number[]
  readonly first: number
  readonly count: number
  /** Channels of a head, where the halves of heads are interleaved. */
  readonly head: number | undefined
}

/** All dimensions but the last, or for a bias its only one: what permuting and stacking go by. */
export const rowsOf = ({ shape }: Pick<GgufTensor, "shape">): number =>
  shape.length === 1 ? shape[0]! : shape.slice(0, -1).reduce((n, extent) => n * extent, 1)

const whole: Readonly<Record<string, string>> = {
  token_embd: "model.embed_tokens",
  output_norm: "model.norm",
  output: "lm_head",
}

const parts: Readonly<Record<string, string>> = {
  attn_norm: "input_layernorm",
  attn_q: "self_attn.q_proj",
  attn_k: "self_attn.k_proj",
  attn_v: "self_attn.v_proj",
  attn_output: "self_attn.o_proj",
  attn_q_norm: "self_attn.q_norm",
  attn_k_norm: "self_attn.k_norm",
  ffn_norm: "post_attention_layernorm",
  ffn_gate: "mlp.gate_proj",
  ffn_up: "mlp.up_proj",
  ffn_down: "mlp.down_proj",
  ffn_gate_shexp: "mlp.shared_expert.gate_proj",
  ffn_up_shexp: "mlp.shared_expert.up_proj",
  ffn_down_shexp: "mlp.shared_expert.down_proj",
}

/** Beside the weights, and known from elsewhere: `rope_freqs` goes into the config. */
const passedOver = /^(blk\.\d+\.)?(rope_freqs|attn_rot_embd)\.weight$/

/**
 * @throws WeftError `checkpoint/parameters` with the tensors that the architecture has not, or that have other dimensions than the metadata
 * say; `checkpoint/duplicate` where two stand for one
 */
export function namedTensors(
  file: string,
  config: Config,
  tensors: ReadonlyMap<string, GgufTensor>,
  architecture: string,
): ReadonlyMap<string, Rows> {
  const found = new Map<string, Rows>()
  const unknown: string[] = []
  for (const tensor of tensors.values()) {
    if (passedOver.test(tensor.name)) continue
    const named = partsOf(tensor, config, isPermuted(architecture), (problem) => refuse(file, tensor, problem))
    if (named === undefined) unknown.push(printable(tensor.name))
    for (const [name, rows] of named ?? []) {
      const other = found.get(name)
      if (other !== undefined)
        throw new WeftError(
          "checkpoint/duplicate",
          `${printable(file)}: ${printable(other.of.name)} and ${printable(tensor.name)} are both ${name}`,
          {
            hint: "convert the model anew",
          },
        )
      found.set(name, rows)
    }
  }
  if (unknown.length > 0)
    throw new WeftError(
      "checkpoint/parameters",
      `${printable(file)} has ${unknown.length} tensors that the architecture ${architecture} has not: ${unknown.slice(0, 10).join(", ")}`,
      {
        hint: "the model computes without them, so its numbers would be wrong; is it of another architecture, or with an adapter?",
      },
    )
  return found
}

function refuse(file: string, { name, shape }: GgufTensor, problem: string): never {
  throw new WeftError(
    "checkpoint/parameters",
    `${printable(file)}: tensor ${printable(name)} is [${shape.join(", ")}], ${problem}`,
    {
      hint: "the tensor and the metadata are of different models; convert the model anew",
    },
  )
}

type Named = readonly (readonly [name: string, rows: Rows])[]
type Refuse = (problem: string) => never

function partsOf(tensor: GgufTensor, config: Config, permuted: boolean, refuse: Refuse): Named | undefined {
  const [, layer, part, expert, kind] =
    /^(?:blk\.(\d{1,4})\.)?([a-z_]+)(?:\.(\d{1,4}))?\.(weight|bias)$/.exec(tensor.name) ?? []
  if (part === undefined) return undefined
  if (layer === undefined) {
    const name = expert === undefined && Object.hasOwn(whole, part) ? whole[part] : undefined
    return name === undefined ? undefined : [[`${name}.${kind}`, all(tensor)]]
  }
  const here = `model.layers.${layer}`
  const number = (field: string) => Number(config[field])
  const [heads, keys, head] = [number("num_attention_heads"), number("num_key_value_heads"), number("head_dim")]
  const block = config.model_type === "mixtral" ? "block_sparse_moe" : "mlp"
  if (part === "ffn_gate_inp") return [[`${here}.${block}.gate.${kind}`, all(tensor)]]
  // A row, which llama.cpp takes for a vector.
  if (part === "ffn_gate_inp_shexp")
    return [[`${here}.mlp.shared_expert_gate.${kind}`, { ...all(tensor), shape: [1, tensor.shape.at(-1)!] }]]
  if (part === "attn_qkv") {
    const at = (name: string, first: number, count: number, turned: boolean): Named[number] => [
      `${here}.self_attn.${name}_proj.${kind}`,
      cut(tensor, first * head, count * head, turned && permuted ? head : undefined),
    ]
    if (rowsOf(tensor) !== (heads + 2 * keys) * head)
      refuse(`and queries, keys and values have ${(heads + 2 * keys) * head} rows`)
    return [at("q", 0, heads, true), at("k", heads, keys, true), at("v", heads + keys, keys, false)]
  }
  const stacked = expertParts(part, config)
  if (stacked !== undefined && (part.endsWith("_exps") ? expert === undefined : expert !== undefined)) {
    const nameOf = (e: number, p: string) => `${here}.${block}.experts.${e}.${p}.${kind}`
    if (expert !== undefined) return [[nameOf(Number(expert), stacked[0]!), all(tensor)]]
    return slices(tensor, number("num_experts"), stacked, nameOf, refuse)
  }
  if (expert !== undefined || !Object.hasOwn(parts, part)) return undefined
  const turns = permuted && (part === "attn_q" || part === "attn_k")
  if (turns && rowsOf(tensor) % head !== 0) refuse(`and heads have ${head} channels`)
  return [[`${here}.${parts[part]}.${kind}`, cut(tensor, 0, rowsOf(tensor), turns ? head : undefined, tensor.shape)]]
}

/** The parts of an expert that a tensor of experts holds, one after the other. */
function expertParts(part: string, config: Config): readonly string[] | undefined {
  const [gate, up, down] = config.model_type === "mixtral" ? ["w1", "w3", "w2"] : ["gate_proj", "up_proj", "down_proj"]
  const found: Readonly<Record<string, readonly string[]>> = {
    ffn_gate: [gate!],
    ffn_up: [up!],
    ffn_down: [down!],
    ffn_gate_up: [gate!, up!],
  }
  const stem = part.replace(/_exps$/, "")
  return Object.hasOwn(found, stem) ? found[stem] : undefined
}

/** The rows of each part of each expert of a stack. */
function slices(
  tensor: GgufTensor,
  experts: number,
  parts: readonly string[],
  nameOf: (expert: number, part: string) => string,
  refuse: Refuse,
): Named {
  const [stack, rows] = tensor.shape
  if (tensor.shape.length !== 3 || stack !== experts || rows! % parts.length !== 0)
    refuse(`and there are ${experts} experts of ${parts.length === 1 ? "one part" : `${parts.length} parts`}`)
  const each = rows! / parts.length
  return Array.from({ length: experts }, (_, e) =>
    parts.map((part, p): Named[number] => [nameOf(e, part), cut(tensor, e * rows! + p * each, each)]),
  ).flat()
}

const all = (tensor: GgufTensor): Rows => cut(tensor, 0, rowsOf(tensor), undefined, tensor.shape)

function cut(of: GgufTensor, first: number, count: number, head?: number, shape?: readonly number[]): Rows {
  return { of, first, count, head, shape: shape ?? (of.shape.length === 1 ? [count] : [count, of.shape.at(-1)!]) }
}
