/**
 * arrays: the inputs and outputs of a program as the host sees them.
 *
 *   image: row ≤ 512, column ≤ 640     →   { name: "image", buffer: 0, axes: [row: 1·row, stride 640], [column: 1·column, stride 1] }
 *
 * The host's order of axes is the one that the program declares. In memory an axis takes the room of its largest extent, and the compiler
 * chooses the order; strides say where an element lies.
 */
import type { ArtifactArray, ArtifactExtent, ArtifactProgram, ArtifactTerm } from "../../runtime/artifact.js"
import { WeftError } from "../../runtime/errors.js"
import type { Dim } from "../ir/dim.js"
import { print } from "../ir/expression.js"
import type { Axis, Tensor } from "../ir/tensor.js"
import { axisNames, axisOf, spansOf } from "../ir/tensor.js"
import type { TracedEntry } from "../trace/programs.js"

interface PlannedBuffer {
  readonly name: string
  readonly shape: readonly number[]
}

/** `results` are the outputs as they are stored, in the order of the entry's. */
export function programArrays(
  { inputs, outputs, place }: TracedEntry,
  results: readonly Tensor[],
  buffers: readonly PlannedBuffer[],
): ArtifactProgram {
  const find = (name: string) => buffers.findIndex((b) => b.name === name)
  return {
    inputs: inputs.map((tensor) => {
      const name = tensor.name.slice("inputs.".length)
      const buffer = find(tensor.name)
      if (buffer < 0)
        throw new WeftError("trace/input", `nothing that the program gives depends on its input '${name}'`, {
          span: place,
          hint: "use it in run, or leave it out of inputs",
        })
      return { name, buffer, axes: placed(tensor, axisNames(tensor), buffers[buffer]!.shape) }
    }),
    outputs: outputs.map(({ name, axes }, i) => {
      const buffer = find(`outputs.${name}`)
      return { name, buffer, axes: placed(results[i]!, axes, buffers[buffer]!.shape) }
    }),
  }
}

/** The axes of a tensor in the order of `names`, and where they lie in memory of `shape`. */
function placed(t: Tensor, names: readonly string[], shape: readonly number[]): ArtifactArray["axes"] {
  return names.map((name) => {
    const at = t.axes.findIndex((a) => a.name === name)
    const stride = shape.slice(at + 1).reduce((n, s) => n * s, 1)
    return { name, extent: extentOf(t, axisOf(t, name)!), stride }
  })
}

function extentOf(t: Tensor, { name, extent }: Axis): ArtifactExtent {
  const terms = extentTerms(extent)
  if (terms === undefined)
    throw new WeftError("trace/output", `the extent of '${name}', ${print(extent)}, is no polynomial of extents`, {
      span: spansOf(t).at(-1),
    })
  if (terms.every((term) => term.symbols.length === 0)) return terms.reduce((n, term) => n + term.factor, 0)
  return terms
}

/** The extent as a sum of products of symbols; undefined where it is none. */
export function extentTerms(d: Dim): readonly ArtifactTerm[] | undefined {
  if (d.kind === "literal") return d.value === 0 ? [] : [{ factor: d.value, symbols: [] }]
  if (d.kind === "symbol") return [{ factor: 1, symbols: [d.name] }]
  if (d.kind !== "operation") return undefined
  const [left, right] = d.args.map(extentTerms)
  if (left === undefined || right === undefined) return undefined
  const times = (a: ArtifactTerm, b: ArtifactTerm) => ({
    factor: a.factor * b.factor,
    symbols: [...a.symbols, ...b.symbols],
  })
  if (d.operation === "add") return [...left, ...right]
  if (d.operation === "sub") return [...left, ...right.map((b) => ({ ...b, factor: -b.factor }))]
  return d.operation === "mul" ? left.flatMap((a) => right.map((b) => times(a, b))) : undefined
}
