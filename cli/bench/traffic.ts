/**
 * Bytes of weights that one step reads: an estimate from the plan.
 *
 * Counted whole: every weight that a launch of `step` binds. Of a stack (the experts of a layer) only the share that is active. Of a table
 * with a row per token of the vocabulary only a row, unless it is the one that the step binds last: the head.
 */
import { type Artifact, type ArtifactWeight, weightBytes as bytesOf } from "../../runtime/artifact.js"

/** @param active members of each stack that a token uses */
export function weightBytesPerToken(artifact: Artifact, active: number): number {
  const launches = artifact.entries.step!.launches
  const used = launches.flatMap((launch, at) => launch.buffers.map((b) => [b, at] as const))
  const lastUse = new Map(used.filter(([b]) => artifact.buffers[b]!.role === "weight"))
  const rows = (tensors: readonly ArtifactWeight[]) => tensors[0]!.shape[0]!
  const weights = [...partsOf(artifact, lastUse.keys())].map(({ buffers, tensors }) => ({
    bytes: buffers.reduce((n, b) => n + artifact.buffers[b]!.bytes, 0),
    last: Math.max(...buffers.map((b) => lastUse.get(b)!)),
    members: new Set(tensors.map((w) => w.tensor)).size,
    // A table has a row per token of the vocabulary.
    rows: rows(tensors) === artifact.model?.vocabulary ? rows(tensors) : undefined,
  }))
  const head = weights.filter((w) => w.rows !== undefined).sort((a, b) => b.last - a.last)[0]
  return weights.reduce((total, w) => {
    if (w.rows !== undefined && w !== head) return total + w.bytes / w.rows
    return total + (w.members > 1 ? (w.bytes * Math.min(active, w.members)) / w.members : w.bytes)
  }, 0)
}

/** The buffers of each weight: one, or those of its parts and planes. */
function partsOf({ buffers, weights }: Artifact, used: Iterable<number>) {
  const found = new Map<string, { readonly buffers: number[]; readonly tensors: ArtifactWeight[] }>()
  for (const b of used) {
    const tensors = weights.filter((w) => w.buffer === b)
    const whole = buffers[b]!.name.replace(/\/\d+$/, "")
    // A plane is named after its weight.
    const name = tensors.some((w) => w.format !== undefined) ? whole.replace(/\.\w+$/, "") : whole
    const parts = found.get(name) ?? { buffers: [], tensors: [] }
    found.set(name, parts)
    parts.buffers.push(b)
    parts.tensors.push(...tensors)
  }
  return found.values()
}

/** Bytes of all weights. */
export const weightBytes = ({ weights }: Pick<Artifact, "weights">): number =>
  weights.reduce((n, w) => n + bytesOf(w), 0)

/** Bytes of the states that one step reads after `past` tokens: a row for each of those that it keeps, where a state has rows. */
export const stateBytesPerToken = ({ buffers }: Pick<Artifact, "buffers">, past: number): number =>
  buffers.reduce((n, { role, row, bytes, keeps = past }) => {
    const read = role === "state" && row !== undefined ? Math.min(bytes, row * Math.min(past, keeps)) : 0
    return n + read
  }, 0)
