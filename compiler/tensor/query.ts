/** What passes ask of the nodes of a tensor program. */
import { hinted } from "../ir/dim.js"
import type { Tensor } from "../ir/tensor.js"

/** Elements at the hints of the symbols. */
export const size = (t: Tensor): number => t.axes.reduce((n, a) => n * Math.max(1, hinted(a.extent)), 1)

export const hasMemory = (t: Tensor) =>
  t.kind === "input" || t.kind === "call" || t.kind === "update" || (t.kind === "constant" && t.axes.length > 0)

/**
 * Whether a map takes weights apart that lie in words, and is of nothing else: it takes more memory than they do. Other maps of weights, such as 1 + w of a
 * norm, are maps like any.
 */
export const isDecoded = (t: Tensor): boolean =>
  t.kind === "map" && t.args.some((a) => a.dtype === "u32") && isOfFields(t)

function isWeight(t: Tensor): boolean {
  if (t.kind === "gather") return isWeight(t.arg) && isOfFields(t.index)
  return t.kind === "reindex" ? isWeight(t.arg) : t.kind === "input" && t.role === "weight" && t.axes.length > 0
}

/** Of counters alone nothing is decoded. */
const isOfFields = (t: Tensor): boolean =>
  t.kind === "map" &&
  t.args.some((a) => a.kind !== "iota") &&
  t.args.every((a) => a.kind === "iota" || isWeight(a) || isOfFields(a))
