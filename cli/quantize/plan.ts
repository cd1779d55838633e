/** What a checkpoint becomes as a GGUF file: its metadata, and the type of each tensor. */
import type { ModelDescription } from "../../compiler/internal.js"
import { templateSourceOf } from "../../runtime/chat/template.js"
import { WeftError } from "../../runtime/errors.js"
import { defaultsOf, endTokensOf } from "../../runtime/generate/defaults.js"
import type { Checkpoint } from "../../runtime/weights/checkpoint.js"
import { isPlainType } from "../../runtime/weights/dtypes.js"
import type { Entry } from "../../runtime/weights/gguf/writer.js"
import { weightsOf } from "../artifact.js"
import { type Config, metadataOf } from "./metadata.js"
import type { Target } from "./targets.js"
import { fileTensors } from "./tensors.js"
import { tokenizerEntries } from "./tokenizer.js"
import { fileTypes, type TypedTensor, typed } from "./types.js"
import type { GgufFile } from "./write.js"

/** Of the blocks' layouts; the second is that since 2023. */
const quantizationVersion = 2

/**
 * @param described the checkpoint's model
 * @param name of the model, for people
 * @param onWarning called with what the file does not say
 * @throws WeftError `quantize/config`, `checkpoint/parameters`
 */
export async function planOf(
  checkpoint: Checkpoint,
  described: ModelDescription,
  { to, name }: { readonly to: Target; readonly name: string },
  onWarning: (message: string) => void,
): Promise<GgufFile> {
  const config = described.config as Config
  const { architecture, entries, divisors } = metadataOf(config)
  const weights = weightsOf(checkpoint, described.parameters, described.names, onWarning)
  const formats = new Set([...weights.values()].map(({ dtype }) => dtype).filter((dtype) => !isPlainType(dtype)))
  if (formats.size > 0)
    onWarning(`weights are in ${[...formats].join(", ")} already: what is told here comes on top of what that has cost`)
  const tensors = fileTensors(config.model_type, architecture, config.head_dim, weights).map(
    (tensor): TypedTensor => typed(tensor, to, config.num_hidden_layers),
  )
  const metadata = new Map<string, Entry>([
    ["general.architecture", { type: "text", value: architecture }],
    ["general.name", { type: "text", value: name }],
    ["general.file_type", { type: "u32", value: fileTypes[to] }],
    ["general.quantization_version", { type: "u32", value: quantizationVersion }],
    ...[...entries].map(([key, entry]) => [`${architecture}.${key}`, entry] as const),
    ...samplingEntries(checkpoint),
    ...(await textEntries(checkpoint, config, onWarning)),
  ])
  return { metadata, tensors, constants: new Map(divisors === undefined ? [] : [["rope_freqs.weight", divisors]]) }
}

/** How the checkpoint's makers would have tokens drawn. */
function samplingEntries({ generationConfig }: Checkpoint): readonly (readonly [string, Entry])[] {
  if (generationConfig === undefined) return []
  const { temperature, topK, topP, minP } = defaultsOf(generationConfig)
  const { repetition_penalty: penalty } = generationConfig
  const penalty_repeat = typeof penalty === "number" && penalty !== 1 ? penalty : undefined
  const f32s = { temp: temperature, top_p: topP, min_p: minP, penalty_repeat }
  return [
    ...Object.entries(f32s).flatMap(([key, value]) =>
      value === undefined ? [] : [[`general.sampling.${key}`, { type: "f32", value }] as const],
    ),
    ...(topK === undefined ? [] : [["general.sampling.top_k", { type: "i32", value: topK }] as const]),
  ]
}

/** The tokenizer and the chat template. */
async function textEntries(
  checkpoint: Checkpoint,
  config: Config,
  onWarning: (message: string) => void,
): Promise<readonly (readonly [string, Entry])[]> {
  const begin = checkpoint.config.bos_token_id
  const ids = {
    vocabulary: config.vocab_size,
    begin: typeof begin === "number" ? begin : undefined,
    end: endTokensOf(checkpoint.generationConfig) ?? config.eos_token_id,
  }
  const json = await checkpoint.readText("tokenizer.json")
  const template = await templateSourceOf(checkpoint)
  const shown = template === undefined ? [] : [["tokenizer.chat_template", { type: "text", value: template }] as const]
  if (json !== undefined)
    try {
      const texts = { json, config: await checkpoint.readText("tokenizer_config.json") }
      const entries = tokenizerEntries(texts, ids)
      return [...[...entries].map(([key, entry]) => [`tokenizer.${key}`, entry] as const), ...shown]
    } catch (error) {
      if (!(error instanceof WeftError && error.code === "tokenizer/unsupported")) throw error
      onWarning(`the file has no tokenizer: ${error.reason}; token ids work with it, and text does not`)
    }
  const [end] = ids.end
  return [
    ["tokenizer.ggml.model", { type: "text", value: "none" }],
    ...(end === undefined ? [] : [["tokenizer.ggml.eos_token_id", { type: "u32", value: end }] as const]),
    ...shown,
  ]
}
