/** What passes ask of the nodes of a tensor program. */
import { hinted } from "../ir/dim.js"
import type { Tensor } from "../ir/tensor.js"

/** Elements at the hints of the symbols. */
export const size = (t: Tensor): number => t.axes.reduce((n, a) => n * Math.max(1, hinted(a.extent)), 1)

export const hasMemory = (t: Tensor) =>
  t.kind === "input" || t.kind === "call" || t.kind === "update" || (t.kind === "constant" && t.axes.length > 0)
