/**
 * Text of the tensor language, for people and tests: one numbered line per node, sources first.
 *
 *   %0 = input x input : [seq: rows, embed: 64] f32
 *   %1 = input w weight as bf16 : [embed: 64, out: 8] f32
 *   %2 = map ($0 * $1) of %0, %1 : [seq, embed, out] f32      at model.ts:4:11
 *   %3 = reduce sum over embed of %2 : [seq, out] f32         at model.ts:4:11
 *   return %3
 *
 * Extents are printed where an axis begins. The units that are called follow, each once, with numbers of their own.
 */

import { print } from "../expression.js"
import { monoidKey } from "../monoid.js"
import { topological } from "../tensor/walk.js"
import { type Axis, type Input, type Reindex, spansOf, type Tensor, type Unit } from "../tensor.js"

export function printTensor(roots: readonly Tensor[]): string {
  const units = new Set<Unit>()
  const sections = [program(roots, "", units)]
  for (const unit of units) {
    const inputs = unit.inputs.map((x) => x.name).join(", ")
    sections.push([`unit ${unit.name}(${inputs})`, ...program(unit.results, "  ", units)])
  }
  return sections.map((lines) => lines.join("\n")).join("\n\n")
}

/** The lines of a program; adds the units that it calls. */
function program(roots: readonly Tensor[], indent: string, units: Set<Unit>): string[] {
  const numbers = new Map(topological(roots).map((t, i) => [t, `%${i}`]))
  const name = (t: Tensor) => numbers.get(t)!
  const lines = [...numbers].map(([t, number]) => {
    if (t.kind === "call") units.add(t.unit)
    return `${indent}${number} = ${printNode(t, name)} : ${printType(t)}${printPlace(t)}`
  })
  return [...lines, `${indent}return ${roots.map(name).join(", ")}`]
}

/** What a node is, without its type. `name` gives the text of a source. */
function printNode(t: Tensor, name: (t: Tensor) => string): string {
  const list = (xs: readonly Tensor[]) => xs.map(name).join(", ")
  switch (t.kind) {
    case "input":
      return `input ${t.name} ${t.role}${printStorage(t)}${printKept(t)}`
    case "constant": {
      const shown = [...t.values.subarray(0, 4)].join(", ")
      return `constant ${t.values.length > 4 ? `${shown}, …` : shown}`
    }
    case "iota":
      return `iota from ${print(t.start)}`
    case "map":
      return `map ${print(t.body)}${t.args.length > 0 ? ` of ${list(t.args)}` : ""}`
    case "reduce": {
      const component = t.component > 0 ? `.${t.component}` : ""
      const slot = t.slot === undefined ? "" : ` into ${t.slot}`
      return `reduce ${monoidKey(t.monoid)}${component} over ${t.axis} of ${list(t.args)}${slot}`
    }
    case "scan":
      return `scan ${monoidKey(t.monoid)} over ${t.axis} of ${name(t.arg)}${t.block === undefined ? "" : ` again each ${t.block}`}`
    case "reindex":
      return `reindex ${name(t.arg)}${printIndex(t)}${t.valid === undefined ? "" : ` where ${print(t.valid)} else ${t.fill}`}`
    case "gather":
      return `gather ${name(t.arg)} at ${t.axis} = ${name(t.index)}`
    case "update":
      return t.axis === undefined
        ? `update ${name(t.state)} by ${name(t.value)}`
        : `update ${name(t.state)} at ${t.axis} = ${print(t.at)} by ${name(t.value)}`
    case "call":
      return `call ${t.unit.name}.${t.result} of ${list(t.args)}`
    default:
      return t satisfies never
  }
}

/** The indices of the axes that are not just kept. */
function printIndex(t: Reindex): string {
  const moved = t.arg.axes.flatMap(({ name }) => {
    const at = t.index.get(name)
    if (at === undefined || (at.kind === "variable" && at.name === name)) return []
    return [`${name} = ${print(at)}`]
  })
  return moved.length > 0 ? ` at ${moved.join(", ")}` : ""
}

const printStorage = (t: Input) => (t.storage === t.dtype ? "" : ` as ${t.storage}`)
const printKept = ({ kept }: Input) => (kept === undefined ? "" : ` keeps ${kept.axis} from ${print(kept.first)}`)

/** The kinds whose axes are not all those of their sources. */
const begins: ReadonlySet<Tensor["kind"]> = new Set(["input", "constant", "iota", "reindex", "update", "call"])

function printType(t: Tensor): string {
  const whole = (a: Axis) => begins.has(t.kind) || (t.kind === "reduce" && a.name === t.slot)
  return `[${t.axes.map((a) => (whole(a) ? `${a.name}: ${print(a.extent)}` : a.name)).join(", ")}] ${t.dtype}`
}

function printPlace(t: Tensor): string {
  const span = spansOf(t).at(-1)
  return span === undefined ? "" : `   at ${span.file}:${span.line}:${span.column}`
}
