/** What a model asks of a checkpoint: the specs of its weights and states, the shapes of tensors by name. */
import type { Model } from "../../dsl/index.js"
import type { Tree } from "../../dsl/tensor.js"
import type { StateSpec, WeightSpec } from "../../dsl/tracing.js"

export function specs(tree: Tree): readonly (WeightSpec | StateSpec)[] {
  if (typeof tree !== "object") return []
  if ("kind" in tree) return [tree as unknown as WeightSpec | StateSpec]
  return Object.values(tree).flatMap((part: Tree) => specs(part))
}

/** [rows, columns …] of each tensor. */
export function tensorShapes(model: Model, config: object): Map<string, readonly number[]> {
  const shape = (w: WeightSpec) => w.dimensions.map((axes) => axes.reduce((n, a) => n * a.extent, 1))
  const weights = specs(model.configure(config).weights) as readonly WeightSpec[]
  return new Map(weights.flatMap((w) => w.tensors.map((name) => [name, shape(w)] as const)))
}

export const parametersOf = (model: Model, config: object): number =>
  [...tensorShapes(model, config).values()].reduce((n, shape) => n + shape.reduce((m, extent) => m * extent, 1), 0)
