/** Checks that a checkpoint has the parameters of a model: all of them, no others, of the right shape, in a format for weights. */

import { printable, WeftError } from "../errors.js"
import type { Checkpoint, StoredTensor } from "./checkpoint.js"
import { isWeightType, type WeightType } from "./dtypes.js"

export interface Parameter {
  readonly name: string
  readonly shape: readonly number[]
}

/** A tensor of the checkpoint that can be a weight. */
export interface WeightTensor extends StoredTensor {
  readonly dtype: WeightType
}

export interface MatchOptions {
  /** Names that the checkpoint may hold although the model does not ask for them: `lm_head.weight` of a tied model. */
  readonly ignore?: (name: string) => boolean
}

/** How many names of each kind a message lists. */
const listed = 5

/**
 * The tensor of each expected parameter, by name.
 *
 * @throws WeftError `checkpoint/parameters`: one error that lists what is missing, superfluous, of another shape or of another type
 */
export function matchParameters(
  checkpoint: Pick<Checkpoint, "folder" | "tensors">,
  expected: readonly Parameter[],
  { ignore = () => false }: MatchOptions = {},
): ReadonlyMap<string, WeightTensor> {
  const matched = new Map<string, WeightTensor>()
  const known = new Set<string>()
  const missing: string[] = []
  const shapes: string[] = []
  const types: string[] = []
  for (const { name, shape } of expected) {
    known.add(name)
    const tensor = checkpoint.tensors.get(name)
    if (tensor === undefined) {
      missing.push(printable(name))
      continue
    }
    if (!equalShapes(tensor.shape, shape)) {
      shapes.push(`${printable(name)} is [${tensor.shape.join(", ")}], the model has [${shape.join(", ")}]`)
    }
    if (isWeight(tensor)) matched.set(name, tensor)
    else types.push(`${printable(name)} is ${tensor.dtype}, weights are F32, F16 or BF16`)
  }
  const extra = [...checkpoint.tensors.keys()].filter((name) => !known.has(name) && !ignore(name)).map(printable)
  const problems = [
    ...report("missing", missing),
    ...report("not in the model", extra),
    ...report("of another shape", shapes),
    ...report("of another type", types),
  ]
  if (problems.length === 0) return matched
  throw new WeftError(
    "checkpoint/parameters",
    `the checkpoint ${printable(checkpoint.folder)} does not fit the model\n${problems.join("\n")}`,
    { hint: "the weights belong to another config.json or another model family, or the export is incomplete" },
  )
}

function report(kind: string, items: readonly string[]): string[] {
  if (items.length === 0) return []
  const rest = items.length - listed
  const lines = [`  ${items.length} ${kind}:`, ...items.slice(0, listed).map((item) => `    ${item}`)]
  return rest > 0 ? [...lines, `    and ${rest} more`] : lines
}

function equalShapes(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((extent, axis) => extent === b[axis])
}

function isWeight(tensor: StoredTensor): tensor is WeightTensor {
  return isWeightType(tensor.dtype)
}
