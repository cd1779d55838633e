/**
 * fingerprint: kernel → a key that equal structures share, in every process and whatever the model calls its parts.
 *
 *   y[seq, out] = sum_{embed < 64}(x[seq, embed] · w[out, embed])   seq < n (hint 128)   →   { key: "6d1c…", axes: ["seq", "out", "embed"] }
 *
 * In it are storages, layouts, extents, monoids and expressions; left out are names, spans, and the largest values of symbols: what stands for
 * them is their hint, which is all that schedules see. How many rows a buffer has room for is left out, too: it moves no element.
 */

import { createHash } from "node:crypto"
import { fault } from "../../runtime/errors.js"
import type { Item, Kernel } from "../ir/kernel.js"
import { memoized } from "../ir/memoized.js"
import { monoidKey } from "../ir/monoid.js"
import type { Expression } from "../ir/nodes.js"

export interface Structure {
  readonly key: string
  /** The names of this kernel's axes, in the order in which the structure mentions them. */
  readonly axes: readonly string[]
}

export function fingerprintOf(kernel: Kernel): Structure {
  const axes = new Map<string, string>()
  const symbols = new Map<string, string>()
  const buffers = new Map(kernel.buffers.map((b, i) => [b.name, `b${i}`]))
  const locals = new Map(kernel.items.flatMap((x) => (x.kind === "local" ? [x.name] : [])).map((n, i) => [n, `l${i}`]))
  const named = (names: Map<string, string>, name: string, stem: string): string =>
    memoized(() => `${stem}${names.size}`, names)(name)
  const lines: string[] = []
  /** The number of the line that spells an expression. */
  const visit: (x: Expression) => number = memoized((x) => lines.push(`${x.dtype} ${spell(x)}`) - 1)
  const all = (xs: readonly Expression[]) => xs.map(visit).join(" ")
  const spell = (x: Expression): string => {
    switch (x.kind) {
      case "literal":
        return `= ${Object.is(x.value, -0) ? "-0" : x.value}`
      case "variable":
        return named(axes, x.name, "a")
      case "symbol":
        return `${named(symbols, x.name, "s")} hint ${x.hint}`
      case "operation":
        return `${x.operation} ${all(x.args)}`
      case "load":
        return `${buffers.get(x.buffer)} [${all(x.index)}]`
      case "localRead":
        return `${locals.get(x.local)} {${all(x.index)}}`
      case "reduce":
        return `${monoidKey(x.monoid)} ${named(axes, x.axis, "a")} < ${visit(x.extent)} (${all(x.lift)})`
      case "scan":
        return `${monoidKey(x.monoid)} ${named(axes, x.axis, "a")} <= ${visit(x.at)} (${all(x.lift)})`
      case "component":
        return `${visit(x.of)} . ${x.index} ${x.slot === undefined ? "" : visit(x.slot)}`
      case "fetch":
      case "splat":
      case "ramp":
      case "lane":
      case "vector":
        throw fault(`a kernel holds no ${x.kind}`)
      default:
        return x satisfies never
    }
  }
  for (const { dtype, storage, shape } of kernel.buffers) lines.push(`${dtype} as ${storage} ${shape.slice(1)}`)
  for (const item of kernel.items) {
    const over = item.axes.map((a) => `${named(axes, a.name, "a")} < ${visit(a.extent)}`).join(", ")
    const made = `${over} ${content(item, visit)}`
    lines.push(item.kind === "local" ? `local ${made}` : `store ${buffers.get(item.buffer)} ${made}`)
  }
  if (kernel.long !== undefined) lines.push(`long ${kernel.long.map((axis) => named(axes, axis, "a"))}`)
  return { key: createHash("sha256").update(lines.join("\n")).digest("hex").slice(0, 24), axes: [...axes.keys()] }
}

function content(item: Item, visit: (x: Expression) => number): string {
  if (item.kind === "local") return String(visit(item.value))
  return `[${item.index.map(visit).join(" ")}] = ${visit(item.value)}`
}
