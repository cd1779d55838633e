/**
 * Checks that a checkpoint has the parameters of a model: all of them, of the right shape, in a format for weights.
 *
 * What else it holds is told or refused. A tensor under a module of the model (a bias that the config turned off, a layer too many) would
 * have changed the numbers, so it is refused; a module of its own (the head of another task, a vision tower) is told and left alone, as in
 * transformers; tables and masks that follow from the config, and what the model's file says to ignore, are passed over.
 */

import { printable, WeftError } from "../errors.js"
import type { Checkpoint, StoredTensor } from "./checkpoint.js"
import { isWeightType, type WeightType } from "./dtypes.js"
import { type FoundNames, findNames, isBuffer, matchesAny, type NameRules } from "./names.js"

export interface Parameter {
  readonly name: string
  readonly shape: readonly number[]
}

/** A tensor of the checkpoint that can be a weight. */
export interface WeightTensor extends StoredTensor {
  readonly dtype: WeightType
}

export interface MatchOptions extends NameRules {
  /** Called with what is no error, but should be known: tensors that the model does not use. */
  readonly onWarning?: ((message: string) => void) | undefined
}

/** How many names of each kind a message lists. */
const listed = 10

/**
 * The tensor of each expected parameter, by the name that the model has for it; `names.ts` says how it is found.
 *
 * @throws WeftError `checkpoint/parameters`: one error that lists what is missing, superfluous, of another shape or of another type
 */
export function matchParameters(
  checkpoint: Pick<Checkpoint, "folder" | "tensors">,
  expected: readonly Parameter[],
  options: MatchOptions = {},
): ReadonlyMap<string, WeightTensor> {
  const { tensors } = checkpoint
  const found = findNames(
    expected.map(({ name }) => name),
    tensors,
    options,
  )
  const matched = new Map<string, WeightTensor>()
  const missing: string[] = []
  const shapes: string[] = []
  const types: string[] = []
  for (const { name, shape } of expected) {
    const tensor = tensors.get(found.stored.get(name) ?? name)
    if (tensor === undefined) {
      missing.push(name)
      continue
    }
    if (!equalShapes(tensor.shape, shape))
      shapes.push(`${printable(tensor.name)} is [${tensor.shape.join(", ")}], the model has [${shape.join(", ")}]`)
    if (isWeight(tensor)) matched.set(name, tensor)
    else
      types.push(
        `${printable(tensor.name)} is ${tensor.dtype}, weights are F64, F32, F16, BF16 or in a format of blocks`,
      )
  }
  for (const [name, twin] of found.twins) {
    const [a, b] = [tensors.get(name)!, tensors.get(twin)!]
    if (!equalShapes(a.shape, b.shape) || a.dtype !== b.dtype) shapes.push(`${shown(b)}, and ${shown(a)} is the same`)
  }
  const { extra, foreign } = unused(checkpoint, found, options)
  const problems = [
    ...report("missing", missing.map(printable)),
    ...report("not in the model", extra.map(printable)),
    ...report("of another shape", shapes),
    ...report("of another type", types),
  ]
  if (problems.length > 0)
    throw new WeftError(
      "checkpoint/parameters",
      `the checkpoint ${printable(checkpoint.folder)} does not fit the model\n${problems.join("\n")}`,
      { hint: hintFor(missing, [...extra, ...foreign], found.ambiguous, shapes.length + types.length) },
    )
  if (foreign.length > 0)
    options.onWarning?.(
      [
        "tensors of the checkpoint that the model does not use",
        ...report("not in the model", foreign.map(printable)),
      ].join("\n"),
    )
  return matched
}

/** The tensors that no parameter takes: `extra` are under the model's own modules, `foreign` are not. */
function unused(
  { tensors }: Pick<Checkpoint, "tensors">,
  { stored, twins, homes }: FoundNames,
  { ignore = [] }: NameRules,
) {
  const taken = new Set([...stored.values(), ...twins.map(([, twin]) => twin)])
  const rest = [...tensors.values()].filter((t) => !taken.has(t.name) && !isBuffer(t) && !matchesAny(t.name, ignore))
  const isOwn = ({ name }: StoredTensor) => {
    for (let dot = name.indexOf("."); dot >= 0; dot = name.indexOf(".", dot + 1))
      if (homes.has(name.slice(0, dot))) return true
    return homes.has(name)
  }
  const names = (own: boolean) => rest.filter((t) => isOwn(t) === own).map(({ name }) => name)
  return { extra: names(true), foreign: names(false) }
}

function hintFor(missing: readonly string[], others: readonly string[], ambiguous: readonly string[], wrong: number) {
  if (ambiguous.length > 0)
    return `several modules of the checkpoint could be the model: ${ambiguous.map(printable).join(", ")}; keep one`
  const tail = (name: string) => name.split(".").slice(-2).join(".")
  const [name] = missing
  const alike = name === undefined ? undefined : others.find((other) => tail(other) === tail(name))
  if (alike !== undefined)
    return `the names are those of another export or another family: the model has ${printable(name!)}, the checkpoint ${printable(alike)}`
  if (missing.length > 0) return "the export is incomplete, or config.json is that of another model"
  if (wrong > 0) return "the weights belong to another config.json or another model family"
  return "the model computes without these tensors, so its numbers would be wrong; what is no weight belongs into `ignore` of the model's file"
}

const shown = ({ name, dtype, shape }: StoredTensor) => `${printable(name)} is ${dtype} [${shape.join(", ")}]`

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
