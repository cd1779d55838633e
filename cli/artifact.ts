/**
 * The artifact of a checkpoint for a target: from the cache, or compiled and kept.
 *
 * The compiler is loaded only when there is something to compile.
 */

import { join, resolve } from "node:path"
import { configOf } from "../compiler/frontend/host.js"
import type { AdapterFacts } from "../compiler/ir/machine.js"
import type { TunedRecord } from "../compiler/schedule/tuned/record.js"
import { families } from "../models/index.js"
import type { Artifact, ArtifactTarget, Precision } from "../runtime/artifact.js"
import { printable, WeftError } from "../runtime/errors.js"
import type { Checkpoint } from "../runtime/weights/checkpoint.js"
import type { WeightType } from "../runtime/weights/dtypes.js"
import type { NameRules } from "../runtime/weights/names.js"
import { matchParameters, type Parameter, type WeightTensor } from "../runtime/weights/parameters.js"
import { artifactWeights } from "../runtime/weights/reader.js"
import { keptArtifact } from "./cache.js"
import { packageFolder } from "./package.js"

export interface ArtifactOptions {
  readonly target: ArtifactTarget
  /** What the compiler may know of a WebGPU adapter. */
  readonly adapter?: AdapterFacts | undefined
  readonly precision: Precision
  readonly chunk?: number | undefined
  readonly context?: number | undefined
  /** Whether matrices of weights in bf16 are taken as f16, for units that multiply such; where the artifact is, the reader has to narrow them. */
  readonly narrows?: boolean | undefined
  /** Schedules that were measured on the device. */
  readonly tuned?: TunedRecord | undefined
  /** Called with what is no error, but should be known. */
  readonly onWarning?: ((message: string) => void) | undefined
  /** The model's file; by the family of the checkpoint when left out. */
  readonly model?: string | undefined
  /** The folder of the cache, or false for none; the user's when left out. */
  readonly cache?: string | false | undefined
  /** Called before the compiler is loaded. */
  readonly onCompile?: ((modelFile: string) => void) | undefined
}

export interface FoundArtifact {
  readonly artifact: Artifact
  readonly cached: boolean
  /** The tensors of the checkpoint by the names of the artifact's weights. */
  readonly tensors: ReadonlyMap<string, WeightTensor>
}

/**
 * @throws WeftError `model/family` when no model reads the checkpoint's `model_type`, `checkpoint/parameters`, and what `compile` throws
 */
export async function artifactFor(checkpoint: Checkpoint, options: ArtifactOptions): Promise<FoundArtifact> {
  const { target, adapter, precision, chunk, context, tuned, onWarning, cache, narrows = false } = options
  const modelFile = options.model === undefined ? familyFile(checkpoint) : resolve(options.model)
  const types = [...checkpoint.tensors.values()].map(({ name, dtype }) => [name, dtype]).sort()
  const label = `${checkpoint.config.model_type}-${target}`
  const parts = [
    configOf(checkpoint.config),
    types,
    target,
    adapter,
    precision,
    chunk,
    context,
    tuned,
    ...(narrows ? ["narrowed"] : []),
  ]
  let found: ReadonlyMap<string, WeightTensor> | undefined
  const kept = await keptArtifact({ cache, label, modelFile, parts, onWarning }, async () => {
    options.onCompile?.(modelFile)
    const { compileFile } = await import("../compiler/internal.js")
    const tensors = (expected: readonly Parameter[], names: NameRules) => {
      found = weightsOf(checkpoint, expected, names, onWarning)
      return narrows ? narrowedTypes(found, expected) : found
    }
    const more = { tensors, chunk, context, adapter, precision, tuned, onWarning }
    return compileFile(modelFile, checkpoint.config, target, more)
  })
  return { ...kept, tensors: found ?? artifactWeights(checkpoint, kept.artifact, onWarning) }
}

type Types = ReadonlyMap<string, { readonly dtype: WeightType }>

/** The types of tensors where matrices in bf16 are taken as f16. */
export const narrowedTypes = (types: Types, expected: readonly Parameter[]): Types =>
  new Map(
    expected.map(({ name, shape }) => {
      const { dtype } = types.get(name)!
      return [name, { dtype: dtype === "BF16" && shape.length > 1 ? "F16" : dtype }]
    }),
  )

/**
 * The checkpoint's tensors that a model asks for.
 *
 * @throws WeftError `checkpoint/parameters`
 */
export function weightsOf(
  checkpoint: Checkpoint,
  expected: readonly Parameter[],
  { ignore, alternatives }: NameRules,
  onWarning?: (message: string) => void,
): ReadonlyMap<string, WeightTensor> {
  return matchParameters(checkpoint, expected, { ignore, alternatives, onWarning })
}

/** The file of the model that reads a checkpoint. */
export function familyFile({ config, folder }: Pick<Checkpoint, "config" | "folder">): string {
  const type = config.model_type
  if (typeof type === "string" && Object.hasOwn(families, type)) return join(packageFolder, "models", families[type]!)
  const shown = typeof type === "string" ? printable(type) : "missing"
  throw new WeftError(
    "model/family",
    `${printable(folder)}: model_type in config.json is ${shown}, which no model reads`,
    {
      hint: `known are ${Object.keys(families).join(", ")}; name a file of your own with the option 'model'`,
    },
  )
}
