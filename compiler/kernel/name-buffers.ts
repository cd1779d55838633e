/**
 * Canonical names: renames the variables, locals and buffers of a kernel by their first appearance, so that kernels of one structure are
 * equal and are compiled once.
 *
 *   embed_41, embed.17, local5, layers.3.q   →   embed, embed1, local0, b0
 */

import { load, localRead, reduce, rewriter, scan, variable } from "../ir/expression.js"
import type { Item, Kernel } from "../ir/kernel.js"
import { memoized } from "../ir/memoized.js"

/** The loops of a workgroup and of its lanes bear these names. */
const reserved = ["group", "lane"]

/** The kernel over `b0, b1, …` and what these stand for, in order. */
export interface Canonical {
  readonly kernel: Kernel
  readonly bindings: readonly string[]
}

export function canonical(kernel: Kernel): Canonical {
  const taken = new Set(reserved)
  const names = new Map<string, string>()
  const locals = new Map<string, string>()
  const rename = memoized((name: string): string => {
    const stem = /^[^._]*/.exec(name)![0] || "axis"
    let made = stem
    for (let n = 1; taken.has(made); n++) made = `${stem}${n}`
    taken.add(made)
    return made
  }, names)
  const local = memoized((_: string) => `local${locals.size}`, locals)
  const buffers = new Map<string, string>()
  const buffer = memoized((_: string) => `b${buffers.size}`, buffers)
  const visit = rewriter((x, again) => {
    if (x.kind === "variable") return variable(rename(x.name), x.dtype, x.width)
    if (x.kind === "reduce") return reduce(rename(x.axis), again(x.extent), x.monoid, x.lift.map(again))
    if (x.kind === "scan") return scan(rename(x.axis), again(x.at), x.monoid, x.lift.map(again))
    if (x.kind === "localRead") return localRead(local(x.local), x.index.map(again), x.dtype)
    return x.kind === "load" ? load(buffer(x.buffer), x.index.map(again), x.dtype) : undefined
  })
  const items = kernel.items.map((item): Item => {
    const axes = item.axes.map((a) => ({ name: rename(a.name), extent: visit(a.extent) }))
    if (item.kind === "local") return { kind: "local", name: local(item.name), axes, value: visit(item.value) }
    return {
      kind: "store",
      buffer: buffer(item.buffer),
      axes,
      index: item.index.map(visit),
      value: visit(item.value),
    }
  })
  const bindings = [...buffers.keys()]
  const declared = bindings.map((name, i) => ({ ...kernel.buffers.find((b) => b.name === name)!, name: `b${i}` }))
  const long = kernel.long?.filter((axis) => names.has(axis)).map(rename)
  return { kernel: { ...kernel, buffers: declared, items, ...(long && { long }) }, bindings }
}
