/**
 * Canonical names: renames the variables, locals and buffers of a kernel by their first appearance, so that kernels of one structure are
 * equal and are compiled once.
 *
 *   embed_41, embed.17, local5, layers.3.q   →   embed, embed1, local0, b0
 */
import { load, localRead, operands, rebuild, reduce, scan, variable } from "../ir/expression.js"
import type { Item, Kernel } from "../ir/kernel.js"
import type { Expression } from "../ir/nodes.js"

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
  const rename = (name: string): string => {
    const known = names.get(name)
    if (known !== undefined) return known
    const stem = /^[^._]*/.exec(name)![0] || "axis"
    let made = stem
    for (let n = 1; taken.has(made); n++) made = `${stem}${n}`
    taken.add(made)
    names.set(name, made)
    return made
  }
  const local = (name: string): string => {
    const known = locals.get(name)
    if (known !== undefined) return known
    const made = `local${locals.size}`
    locals.set(name, made)
    return made
  }
  const buffers = new Map<string, string>()
  const buffer = (name: string): string => {
    const made = buffers.get(name) ?? `b${buffers.size}`
    buffers.set(name, made)
    return made
  }
  const memo = new Map<Expression, Expression>()
  const visit = (x: Expression): Expression => {
    const known = memo.get(x)
    if (known !== undefined) return known
    let made: Expression
    if (x.kind === "variable") made = variable(rename(x.name), x.dtype, x.width)
    else if (x.kind === "reduce") made = reduce(rename(x.axis), visit(x.extent), x.monoid, x.lift.map(visit))
    else if (x.kind === "scan") made = scan(rename(x.axis), visit(x.at), x.monoid, x.lift.map(visit))
    else if (x.kind === "localRead") made = localRead(local(x.local), x.index.map(visit), x.dtype)
    else if (x.kind === "load") made = load(buffer(x.buffer), x.index.map(visit), x.dtype)
    else made = rebuild(x, operands(x).map(visit))
    memo.set(x, made)
    return made
  }
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
