/**
 * From a configured model to one tensor program per entry point.
 *
 * The trees of weights and states are replaced by inputs (one per specification, so tied weights are one input), the entry is run under a
 * trace, and what it returns are the program's results: outputs, and the states that it changed.
 */
import { withTracing } from "../../dsl/attach.js"
import type { Entry } from "../../dsl/entries.js"
import type { Program } from "../../dsl/model.js"
import type { Tree } from "../../dsl/tensor.js"
import type { StateSpec, Traced, WeightSpec } from "../../dsl/tracing.js"
import { dim } from "../ir/dim.js"
import { symbol, variable } from "../ir/expression.js"
import type { Storage } from "../ir/loop.js"
import * as ir from "../ir/tensor.js"
import { createTracing, isTensor } from "./trace.js"
import { mapTree, treeLeaves } from "./tree.js"

export interface ProgramOptions {
  /** Tokens that one call of an entry takes at most. */
  readonly chunk: number
  /** How a weight lies in the checkpoint. */
  readonly storage: (spec: WeightSpec) => Storage
}

export interface TracedWeight {
  readonly input: ir.Input
  readonly spec: WeightSpec
}

export interface TracedEntry {
  readonly name: Entry["name"]
  readonly inputs: readonly ir.Input[]
  /** Outputs by name, then the updated states. */
  readonly outputs: readonly { readonly name: string; readonly tensor: ir.Tensor }[]
  readonly updates: readonly { readonly state: ir.Input; readonly tensor: ir.Tensor }[]
}

export interface TracedModel {
  readonly weights: readonly TracedWeight[]
  readonly states: readonly ir.Input[]
  readonly entries: readonly TracedEntry[]
  /** The size symbols with their maxima. */
  readonly symbols: readonly { readonly name: string; readonly max: number }[]
}

/** The outputs, each in memory of its own: what is an input, a state, a constant or another output already is copied. */
export function ownOutputs(outputs: readonly ir.Tensor[]): readonly ir.Tensor[] {
  const seen = new Set<ir.Tensor>()
  return outputs.map((given) => {
    let tensor = given
    while (seen.has(tensor) || !ownsMemory(tensor)) tensor = ir.map(variable("$0", tensor.dtype), [tensor])
    seen.add(tensor)
    return tensor
  })
}

function ownsMemory(t: ir.Tensor): boolean {
  if (t.kind !== "call") return t.kind !== "input" && t.kind !== "update" && t.kind !== "constant"
  const { results } = t.unit
  return ownsMemory(results[t.result]!) && results.indexOf(results[t.result]!) === t.result
}

const isSpec = (kind: string) => (x: unknown) =>
  typeof x === "object" && x !== null && (x as { kind?: unknown }).kind === kind

/** Traces the entries named in `names` (all of them by default). */
export function traceModel(program: Program, options: ProgramOptions, names?: readonly string[]): TracedModel {
  const { context } = program.facts
  const past = symbol("past", context, Math.min(context, 512))
  const seq = symbol("seq", options.chunk, Math.min(options.chunk, 64))
  const weights: TracedWeight[] = []
  const states: ir.Input[] = []

  const inputs = new Map<unknown, ir.Input>()
  const weightTree = mapTree(program.weights, isSpec("weight"), (x, path) => {
    const known = inputs.get(x)
    if (known !== undefined) return known
    const spec = x as WeightSpec
    const dimensions = [...(spec.stack === undefined ? [] : [spec.stack]), ...spec.dimensions.flat()]
    const axes = dimensions.map((d) => ({ name: d.axis, extent: dim(d.extent as number) }))
    const made = ir.input(
      `weights.${path}`,
      "weight",
      axes,
      "f32",
      options.storage(spec),
      dimensions.map((d) => d.extent as number),
    )
    inputs.set(x, made)
    weights.push({ input: made, spec })
    return made
  })
  const stateTree = mapTree(program.states, isSpec("state"), (x, path) => {
    const spec = x as StateSpec
    const axes = spec.axes.map((a) => ({ name: a.axis, extent: a.grows ? past : dim(a.extent) }))
    const made = ir.input(
      `states.${path}`,
      "state",
      axes,
      spec.dtype,
      spec.dtype,
      spec.axes.map((a) => a.extent),
    )
    states.push(made)
    return made
  })

  const entries = program.entries
    .filter((e) => names === undefined || names.includes(e.name))
    .map((entry): TracedEntry => {
      const given = Object.entries(entry.inputs).map(([name, spec]) => {
        const extents = spec.axes.map((a) => (typeof a.extent === "number" ? dim(a.extent) : seq))
        const axes = spec.axes.map((a, i) => ({ name: a.axis, extent: extents[i]! }))
        const capacity = spec.axes.map((a) => (typeof a.extent === "number" ? a.extent : options.chunk))
        return [name, ir.input(`inputs.${name}`, "input", axes, spec.dtype, spec.dtype, capacity)] as const
      })
      const inputTree = Object.fromEntries(given) as unknown as Record<string, Traced>
      const { outputs, states: after } = withTracing(createTracing(), () =>
        entry.run(inputTree, weightTree as Tree, stateTree as Tree),
      )
      const changed = treeLeaves(after, isTensor).map((l) => l.value as ir.Tensor)
      const updates = states.flatMap((state, i) => (changed[i] === state ? [] : [{ state, tensor: changed[i]! }]))
      return {
        name: entry.name,
        inputs: given.map(([, input]) => input),
        outputs: Object.entries(outputs).map(([name, tensor]) => ({ name, tensor: tensor as unknown as ir.Tensor })),
        updates,
      }
    })
  return { weights, states, entries, symbols: [past, seq].map(({ name, max }) => ({ name, max })) }
}
