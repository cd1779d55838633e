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
import type { Config } from "./config.js"
import type { GgufTensor } from "./container.js"
import { isInterleaved, modelName } from "./file-names.js"

/** What the names depend on. */
interface Model {
  readonly config: Config
  readonly architecture: string
}

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

/** Beside the weights, and known from elsewhere: `rope_freqs` goes into the config. */
const passedOver = /^(blk\.\d+\.)?(rope_freqs|attn_rot_embd)\.weight$/

/**
 * @throws WeftError `checkpoint/parameters` with the tensors that the architecture has not, or that have other dimensions than the metadata
 * say; `checkpoint/duplicate` where two stand for one
 */
export function namedTensors(
  file: string,
  tensors: ReadonlyMap<string, GgufTensor>,
  model: Model,
): ReadonlyMap<string, Rows> {
  const found = new Map<string, Rows>()
  const unknown: string[] = []
  for (const tensor of tensors.values()) {
    if (passedOver.test(tensor.name)) continue
    const named = partsOf(tensor, model, (problem) => refuse(file, tensor, problem))
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
      `${printable(file)} has ${unknown.length} tensors that the architecture ${model.architecture} has not: ${unknown.slice(0, 10).join(", ")}`,
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

function partsOf(tensor: GgufTensor, { config, architecture }: Model, refuse: Refuse): Named | undefined {
  const { name } = tensor
  const number = (field: string) => Number(config[field])
  const nameOf = (of: string) => modelName(String(config.model_type), of)
  const [, layer, part, expert, kind] = /^blk\.(\d{1,4})\.([a-z_]+)(?:\.(\d{1,4}))?\.(weight|bias)$/.exec(name) ?? []
  if (part === "attn_qkv") {
    const three = ["attn_q", "attn_k", "attn_v"].map((p) => `blk.${layer}.${p}.${kind}`)
    return joinedHeads(tensor, three, nameOf, { config, architecture }, refuse)
  }
  if (part === "ffn_gate_up_exps") {
    const both = ["ffn_gate_exps", "ffn_up_exps"].map((p) => nameOf(`blk.${layer}.${p}.${kind}`)!)
    return slices(tensor, number("num_experts"), both, refuse)
  }
  if (expert !== undefined) {
    const stacked = nameOf(`blk.${layer}.${part}_exps.${kind}`)
    return stacked === undefined ? undefined : [[inExpert(stacked, Number(expert)), all(tensor)]]
  }
  const found = nameOf(name)
  if (found === undefined) return undefined
  if (found.includes("*")) return slices(tensor, number("num_experts"), [found], refuse)
  // A row, which llama.cpp takes for a vector.
  if (part === "ffn_gate_inp_shexp") return [[found, { ...all(tensor), shape: [1, tensor.shape.at(-1)!] }]]
  if (!isInterleaved(architecture, name)) return [[found, all(tensor)]]
  const head = number("head_dim")
  if (rowsOf(tensor) % head !== 0) refuse(`and heads have ${head} channels`)
  if (tensor.shape.length === 1 && tensor.type.block > 1)
    refuse("and its blocks have no rows that could be put in order")
  return [[found, { ...all(tensor), head }]]
}

const inExpert = (name: string, expert: number): string => name.replace("*", String(expert))

/** Queries, keys and values one after the other; `names` are those of the file when they are apart. */
function joinedHeads(
  tensor: GgufTensor,
  names: readonly string[],
  nameOf: (name: string) => string | undefined,
  { config, architecture }: Model,
  refuse: Refuse,
): Named {
  const [heads, keys, head] = ["num_attention_heads", "num_key_value_heads", "head_dim"].map((f) => Number(config[f]))
  const counts = [heads!, keys!, keys!]
  if (rowsOf(tensor) !== (heads! + 2 * keys!) * head!)
    refuse(`and queries, keys and values have ${(heads! + 2 * keys!) * head!} rows`)
  return names.map((name, i): Named[number] => {
    const first = counts.slice(0, i).reduce((n, count) => n + count, 0)
    const turned = isInterleaved(architecture, name) ? head : undefined
    return [nameOf(name)!, cut(tensor, first * head!, counts[i]! * head!, turned)]
  })
}

/** The rows of each part of each expert of a stack. */
function slices(tensor: GgufTensor, experts: number, parts: readonly string[], refuse: Refuse): Named {
  const [stack, rows] = tensor.shape
  if (tensor.shape.length !== 3 || stack !== experts || rows! % parts.length !== 0)
    refuse(`and there are ${experts} experts of ${parts.length === 1 ? "one part" : `${parts.length} parts`}`)
  const each = rows! / parts.length
  return Array.from({ length: experts }, (_, e) =>
    parts.map((part, p): Named[number] => [inExpert(part, e), cut(tensor, e * rows! + p * each, each)]),
  ).flat()
}

const all = (tensor: GgufTensor): Rows => cut(tensor, 0, rowsOf(tensor), undefined, tensor.shape)

function cut(of: GgufTensor, first: number, count: number, head?: number, shape?: readonly number[]): Rows {
  return { of, first, count, head, shape: shape ?? (of.shape.length === 1 ? [count] : [count, of.shape.at(-1)!]) }
}
