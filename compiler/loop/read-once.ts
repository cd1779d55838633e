/**
 * Which steady buffers are streams: all workgroups together read about as many elements of them as they have, so that what one has read is of no use
 * to it or to others any more.
 *
 *   for group < 512 { … for i < 48 { … w[(group · 8 + lane / 32) · 12288 + i · 256 + … : 8] } }   512 · 256 · 48 · 8 = 50,331,648 of w's 50,331,648
 */
import { maximum } from "../ir/dim.js"
import { isLiteral } from "../ir/expression.js"
import { atoms, fragmentSize } from "../ir/fragments/atoms.js"
import type { LoopKernel, Statement } from "../ir/loop.js"
import { expressionsOf } from "../ir/loop-visit.js"
import { nodesOf } from "../ir/query.js"

/** Reads of an element up to which a buffer is a stream: of two by different workgroups neither finds what the other has read. Not measured. */
const most = 2

interface Place {
  /** Cells of the grid that come here: from, and up to. */
  readonly from: number
  readonly to: number
  /** How often a lane comes here in each. */
  readonly times: number
}

/** The kernel with its streams marked. */
export function readOnce(kernel: LoopKernel): LoopKernel {
  const reads = new Map<string, number>()
  const visit = (body: readonly Statement[], place: Place): void => {
    for (const s of body) {
      for (const x of nodesOf(expressionsOf(s), "fetch")) {
        const elements = (place.to - place.from) * place.times * kernel.threads * x.width
        reads.set(x.array, (reads.get(x.array) ?? 0) + elements)
      }
      for (const { array, elements } of movedBy(s, kernel.threads))
        reads.set(array, (reads.get(array) ?? 0) + (place.to - place.from) * place.times * kernel.threads * elements)
      if (s.kind === "block") visit(s.body, place)
      else if (s.kind === "for") visit(s.body, inLoop(s, place))
      else if (s.kind === "if") {
        const split = sectionEnd(s) ?? Number.NaN
        visit(s.body, split >= 0 ? { ...place, to: Math.min(place.to, split) } : place)
        visit(s.otherwise, split >= 0 ? { ...place, from: Math.max(place.from, split) } : place)
      }
    }
  }
  // In front of its cells is each workgroup.
  visit(kernel.body, { from: 0, to: kernel.groups, times: 1 })
  const buffers = kernel.buffers.map((b) => {
    const count = reads.get(b.name) ?? 0
    return b.steady === true && count > 0 && count <= most * maximum(b.size) ? { ...b, once: true as const } : b
  })
  return { ...kernel, buffers }
}

/** What a lane reads otherwise than by a fetch. */
function movedBy(s: Statement, threads: number): readonly { readonly array: string; readonly elements: number }[] {
  if (s.kind === "copyBoxes")
    return s.boxes.map(({ from: { array, height, width } }) => ({ array, elements: (height * width) / threads }))
  if (s.kind === "copy") return [{ array: s.from.array, elements: s.width }]
  const atom = s.kind === "fill" ? atoms.get(s.atom) : undefined
  if (s.kind !== "fill" || atom === undefined) return []
  return [{ array: s.from.array, elements: s.count * fragmentSize(atom, s.operand) }]
}

function inLoop(s: Statement & { kind: "for" }, place: Place): Place {
  if (s.bind === "lane") return place
  const extent = isLiteral(s.extent) ? s.extent.value : Number.POSITIVE_INFINITY
  return s.bind === "grid" ? { ...place, to: extent } : { ...place, times: place.times * extent }
}

/** Where the cells end that a condition lets through, of a kernel whose stores have cells one behind the other. */
function sectionEnd({ condition }: Statement & { kind: "if" }): number | undefined {
  if (condition.kind !== "operation" || condition.operation !== "lt") return undefined
  const [cell, end] = condition.args
  return cell!.kind === "variable" && cell!.name === "group" && isLiteral(end!) ? end.value : undefined
}
