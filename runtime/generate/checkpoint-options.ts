/**
 * What a checkpoint gives the model of an artifact: weights, tokenizer, template, and what generation_config.json says.
 *
 *     await load(artifact, { device, ...(await optionsOf(checkpoint, artifact)) })
 */
import { checkArtifact } from "../artifact-check.js"
import { templateOf } from "../chat/template.js"
import { WeftError } from "../errors.js"
import { createTokenizer, type Tokenizer } from "../text/tokenizer.js"
import type { Checkpoint } from "../weights/checkpoint.js"
import { artifactWeights, checkTwins, weightReader } from "../weights/reader.js"
import type { WeightSource } from "../weights/upload.js"
import { defaultsOf, endTokensOf, unheeded, unusedMistakes } from "./defaults.js"
import type { GeneratorOptions } from "./generator.js"

export type CheckpointOptions = Required<Omit<GeneratorOptions, "onDispose">> & { readonly weights: WeightSource }

/**
 * The options of `load` that follow from a checkpoint. A tokenizer of a kind that is not supported is left out with a warning: the model takes
 * token ids then.
 *
 * @param onWarning is called with what is no error, but should be known
 * @throws WeftError `artifact/…`, `checkpoint/parameters`, `checkpoint/tied`, `tokenizer/…`, `chat/template`, `generate/range`
 */
export async function optionsOf(
  checkpoint: Checkpoint,
  artifact: unknown,
  onWarning: (message: string) => void = () => {},
): Promise<CheckpointOptions> {
  const checked = checkArtifact(artifact)
  const { generationConfig } = checkpoint
  const tensors = artifactWeights(checkpoint, checked, onWarning)
  const defaults = defaultsOf(generationConfig)
  const endTokens = endTokensOf(generationConfig, checked.model?.vocabulary)
  defaultsWarnings(generationConfig).forEach(onWarning)
  const tokenizer = await tokenizerOf(checkpoint, onWarning)
  const template = await templateOf(checkpoint)
  await checkTwins(checkpoint, checked)
  return { weights: { read: weightReader(checkpoint, tensors) }, tokenizer, template, defaults, endTokens }
}

/** What generation_config.json says that is not done. */
export function defaultsWarnings(config: Checkpoint["generationConfig"]): readonly string[] {
  const fields = unheeded(config)
  return [
    ...(fields.length > 0 ? [`generation_config.json asks for what is not computed yet: ${fields.join(", ")}`] : []),
    ...unusedMistakes(config).map((mistake) => `generation_config.json: ${mistake}; without do_sample it is not used`),
  ]
}

/** The tokenizer, where there is one; of a kind that is not supported, a warning, which may throw the refusal instead. */
export async function tokenizerOf(
  { readText }: Pick<Checkpoint, "readText">,
  onWarning: (message: string, refusal: WeftError) => void,
): Promise<Tokenizer | undefined> {
  try {
    const json = await readText("tokenizer.json")
    return json === undefined ? undefined : createTokenizer(json, await readText("tokenizer_config.json"))
  } catch (error) {
    if (!(error instanceof WeftError && error.code === "tokenizer/unsupported")) throw error
    onWarning(`${error.reason}; so token ids are taken, and text is not`, error)
    return undefined
  }
}
