/** What runs on a card: the names of its artifacts, and where its checkpoints lie. Page-safe: it is bundled without the compiler. */
import { join } from "node:path"
import { goldenNames, longGoldens, root } from "../support/goldens.js"
import { quantizedNames } from "../support/quantized-goldens.js"

export const tales: string = join(root, "models", "tales")

const precisions = ["exact", "fast"] as const
/** Layers of `stateful-model.ts`: the first shows a state that was not cleared, the second a row that was put at another place. */
export const statefulNames = ["stateful total", "stateful inside+cache", "stateful last+several+sparse"] as const
export const goldenArtifacts: readonly string[] = [...goldenNames, ...longGoldens.map((l) => l.name)].flatMap((name) =>
  precisions.map((p) => `golden ${name} ${p}`),
)
export const quantizedArtifacts: readonly string[] = quantizedNames.map((name) => `quantized ${name}`)
export const artifactNames: readonly string[] = [
  ...goldenArtifacts,
  ...quantizedArtifacts,
  ...precisions.map((p) => `tales ${p}`),
  ...statefulNames,
]
