/**
 * Bytes of weights that one step reads: an estimate from the plan.
 *
 * Counted whole: every weight that a launch of `step` binds. Of a stack (the experts of a layer) only the share that is active. Of a table
 * with a row per token of the vocabulary only a row, unless it is the one that the step binds last: the head.
 */
import type { Artifact } from "../runtime/artifact.js"

/** @param active members of each stack that a token uses */
export function weightBytesPerToken(artifact: Artifact, active: number): number {
  const launches = artifact.entries.step!.launches
  const lastUse = new Map(launches.flatMap((launch, at) => launch.buffers.map((b) => [b, at] as const)))
  const rows = (buffer: number) => artifact.weights.find((w) => w.buffer === buffer)!.shape[0]!
  const tables = [...lastUse.keys()].filter(
    (b) => artifact.buffers[b]!.role === "weight" && rows(b) === artifact.model?.vocabulary,
  )
  const head = tables.sort((a, b) => lastUse.get(b)! - lastUse.get(a)!)[0]
  let total = 0
  for (const b of lastUse.keys()) {
    const { role, bytes } = artifact.buffers[b]!
    if (role !== "weight") continue
    const members = artifact.weights.filter((w) => w.buffer === b).length
    if (tables.includes(b) && b !== head) total += bytes / rows(b)
    else total += members > 1 ? (bytes * Math.min(active, members)) / members : bytes
  }
  return total
}
