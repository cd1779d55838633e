/**
 * From a configured model, or a program, to one tensor program per entry point.
 *
 * The trees of weights and states are replaced by inputs (one per specification, so tied weights are one input), the entry is run under a
 * trace, and what it returns are the program's results: outputs, and the states that it changed.
 */

import { withTracing } from "../../dsl/attach.js"
import type { Entry, InputSpec } from "../../dsl/entries.js"
import type { Program } from "../../dsl/model.js"
import type { Tree } from "../../dsl/tensor.js"
import type { StateSpec, Traced, WeightSpec } from "../../dsl/tracing.js"
import { type Span, WeftError } from "../../runtime/errors.js"
import type { Format } from "../../runtime/weights/formats/format.js"
import { type Dim, dim } from "../ir/dim.js"
import { identity, literal, print, sub, symbol } from "../ir/expression.js"
import type { Storage } from "../ir/loop.js"
import type { Packed } from "../ir/tensor/formats.js"
import type { Kept } from "../ir/tensor/kept.js"
import { homeOf, topological } from "../ir/tensor/walk.js"
import * as ir from "../ir/tensor.js"
import { authorSpan, isTensor, shown } from "./arguments.js"
import { type Bound, boundsOfEntry } from "./bounds.js"
import { keptRoom } from "./kept.js"
import { type Choices, createTracing } from "./trace.js"
import { mapTree, treeLeaves } from "./tree.js"

export interface ProgramOptions {
  /** Rows, such as tokens, of one call of a model's entry at most: it is traced for each of them that it has a use for. Ascending. */
  readonly bounds: readonly number[]
  /** How a weight lies in the checkpoint. */
  readonly storage: (spec: WeightSpec) => Storage | Format
  /** How a state is kept; as its dtype when left out. */
  readonly states?: (spec: StateSpec) => Storage
  /** Numbers that the target chooses. */
  readonly choices?: Choices
}

export interface TracedWeight {
  readonly input: ir.Input
  readonly spec: WeightSpec
}

/** A size symbol and its largest value. */
export interface SymbolBound {
  readonly name: string
  readonly max: number
}

export interface TracedEntry {
  /** As the author names it; of a variant with its bound. */
  readonly name: string
  /** The entry that it is a variant of, for fewer rows. */
  readonly variantOf?: string
  /** The size symbols, as far as they go here. */
  readonly symbols: readonly SymbolBound[]
  /** Where the author defined it. */
  readonly place: Span | undefined
  readonly inputs: readonly ir.Input[]
  /** Outputs by name, with their axes in the host's order; then the updated states. */
  readonly outputs: readonly { readonly name: string; readonly tensor: ir.Tensor; readonly axes: readonly string[] }[]
  readonly updates: readonly { readonly state: ir.Input; readonly tensor: ir.Tensor }[]
}

export interface TracedModel {
  readonly weights: readonly TracedWeight[]
  readonly states: readonly ir.Input[]
  readonly entries: readonly TracedEntry[]
  /** The size symbols with their maxima over all entries. */
  readonly symbols: readonly SymbolBound[]
}

/** An axis of an output that is named like one of an input goes along with it: a row of logits for each token. */
function checkOutput(
  name: string,
  tensor: ir.Tensor,
  given: readonly (readonly [name: string, input: ir.Input])[],
): void {
  for (const [from, input] of given)
    for (const { name: axis, extent } of input.axes) {
      const found = ir.axisOf(tensor, axis)
      if (found === undefined || found.extent === extent) continue
      throw new WeftError(
        "trace/extent",
        `'${name}' has extent ${print(found.extent)} along '${axis}', and '${from}' has ${print(extent)}`,
        { span: authorSpan(ir.spansOf(tensor)), hint: `compute '${name}' from '${from}'` },
      )
    }
}

/** What an entry gives, as it declares it. */
function declaredOutputs(entry: Entry, given: Readonly<Record<string, Traced>>): TracedEntry["outputs"] {
  if (typeof given !== "object" || given === null || isTensor(given))
    throw new WeftError("trace/output", `run returns ${shown(given)}; it returns an object of tensors`, {
      span: entry.place,
      hint: `return { ${Object.keys(entry.outputs).join(", ")} }`,
    })
  const extra = Object.keys(given).find((name) => !Object.hasOwn(entry.outputs, name))
  if (extra !== undefined)
    throw new WeftError("trace/output", `'${extra}' is returned, but is none of the outputs`, {
      span: entry.place,
      hint: `declare its axes, outputs: { ${extra}: [ … ] }, or do not return it`,
    })
  return Object.entries(entry.outputs).map(([name, axes]) => {
    const tensor = given[name] as unknown as ir.Tensor | undefined
    if (tensor === undefined || !isTensor(tensor))
      throw new WeftError("trace/output", `'${name}' is one of the outputs, but no tensor is returned for it`, {
        span: entry.place,
        hint: "return a tensor of the declared axes under this name",
      })
    const found = ir.axisNames(tensor)
    if (found.length !== axes.length || new Set(axes).size !== axes.length || !axes.every((a) => found.includes(a)))
      throw new WeftError(
        "trace/output",
        `'${name}' has the axes ${found.join(", ")}; declared are ${axes.join(", ")}`,
        {
          span: authorSpan(ir.spansOf(tensor)) ?? entry.place,
          hint: "outputs name each axis once, the slowest of the host's array first",
        },
      )
    return { name, tensor, axes }
  })
}

const tensorsOf = (tree: Tree) => treeLeaves(tree, isTensor).map(({ value }) => value as ir.Tensor)

/** What an entry gives is computed from what it was given, and not from what another trace or a unit has left behind. */
function refuseForeign(results: readonly ir.Tensor[], known: readonly ir.Input[]): void {
  const given = new Set<ir.Tensor>(known)
  const stranger = (tensors: readonly ir.Tensor[]) =>
    topological(tensors).find((t): t is ir.Input => t.kind === "input" && !given.has(t))
  const found = stranger(results)
  if (found === undefined) return
  const result = results.find((t) => stranger([t]) !== undefined)!
  throw new WeftError("trace/capture", `a result is computed from '${found.name}', which is none of its inputs`, {
    span: authorSpan(ir.spansOf(result)),
    hint: "make tensors where they are used, and return from a unit what is used outside of it",
  })
}

/** The size symbols of inputs, one for each name. A model's take at most as many rows at once as their bound says. */
function createSymbols(bound: Bound | undefined) {
  const made = new Map<string, { readonly max: number; readonly dim: Dim }>()
  const limit = (max: number) => Math.min(max, bound?.most ?? max)
  return {
    list: (): readonly SymbolBound[] => [...made].map(([name, { max }]) => ({ name, max: limit(max) })),
    most: (extent: InputExtent) => (typeof extent === "number" ? extent : limit(extent.max)),
    extent(extent: InputExtent, place: Span | undefined): Dim {
      if (typeof extent === "number") return dim(extent)
      const { symbol: name, max } = extent
      const known = made.get(name)
      if (known !== undefined && known.max !== max)
        throw new WeftError("trace/extent", `'${name}' is up to ${known.max} in one place, up to ${max} in another`, {
          span: place,
          hint: "give both the same maximum, or name another symbol: upTo(max, symbol)",
        })
      // Of a program's sizes nothing is known.
      const dimension = known?.dim ?? symbol(name, limit(max), Math.min(limit(max), bound?.hint ?? max))
      made.set(name, { max, dim: dimension })
      return dimension
    },
  }
}
type Sizes = ReturnType<typeof createSymbols>
type InputExtent = InputSpec["axes"][number]["extent"]

/** The states that an entry changes. Each must come back at its own place in the tree: as it was, or appended to or assigned once. */
function updatesOf(states: readonly ir.Input[], after: Tree, outputs: TracedEntry["outputs"]): TracedEntry["updates"] {
  const leaves = new Map(treeLeaves(after, isTensor).map((l) => [`states.${l.path}`, l.value as ir.Tensor]))
  const written = new Map<ir.Tensor | undefined, ir.Update>()
  const refuse = ({ name }: ir.Input, problem: string, hint: string, at?: ir.Tensor) => {
    const span = at && authorSpan(ir.spansOf(at))
    throw new WeftError("trace/state", `'${name.slice("states.".length)}' ${problem}`, { span, hint })
  }
  for (const { state, update } of writesOf([...outputs.map((o) => o.tensor), ...leaves.values()])) {
    if (written.has(state))
      refuse(state, "is written twice", "append or assign once per step, to the past itself", update)
    written.set(state, update)
  }
  return states.flatMap((state) => {
    const tensor = leaves.get(state.name)
    const hint = "return for each state what append or assign gave, or the state itself, under its own name"
    if (tensor === undefined) return refuse(state, "is missing in what the model returns", hint)
    if (homeOf(tensor) !== state) return refuse(state, "is returned as something that is not this state", hint, tensor)
    const update = written.get(state)
    if (update === undefined) return []
    if (originOf(tensor) !== update) return refuse(state, "is written, but returned as it was", hint, update)
    return [{ state, tensor }]
  })
}

/** The node behind results of units: an update for a state that is written, an input for one that is handed through. */
export function originOf(t: ir.Tensor): ir.Tensor {
  if (t.kind !== "call") return t
  const inner = originOf(t.unit.results[t.result]!)
  return inner.kind === "input" ? originOf(t.args[t.unit.inputs.indexOf(inner)]!) : inner
}

/** What is written below the roots, also inside of units: each update with the state of the program that it writes. */
function writesOf(roots: readonly ir.Tensor[]): readonly { readonly state: ir.Input; readonly update: ir.Update }[] {
  const applied = new Set<string>()
  return topological(roots).flatMap((t) => {
    if (t.kind === "update") return [{ state: t.state, update: t }]
    const application = t.kind === "call" ? [t.unit, ...t.args].map(identity).join(" ") : ""
    if (t.kind !== "call" || applied.has(application)) return []
    applied.add(application)
    return writesOf(t.unit.results).map(({ state, update }) => {
      const argument = t.args[t.unit.inputs.indexOf(state)]!
      return { state: homeOf(argument) ?? state, update }
    })
  })
}

const isSpec = (kind: string) => (x: unknown) =>
  typeof x === "object" && x !== null && (x as { kind?: unknown }).kind === kind

/** The inputs of a program's weights, in its tree of them; tied weights are one. */
function weightInputs(program: Program, storage: ProgramOptions["storage"]) {
  const weights = new Map<unknown, TracedWeight>()
  const tree = mapTree(program.weights, isSpec("weight"), (x, path) => {
    const known = weights.get(x)
    if (known !== undefined) return known.input
    const spec = x as WeightSpec
    const dimensions = [...(spec.stack === undefined ? [] : [spec.stack]), ...spec.dimensions.flat()]
    const axes = dimensions.map((d) => ({ name: d.axis, extent: dim(d.extent as number) }))
    const capacity = dimensions.map((d) => d.extent as number)
    const stored = storage(spec)
    const packed = typeof stored === "string" ? undefined : packedAs(stored, spec)
    const held = typeof stored === "string" ? stored : "f32"
    const input = ir.input(`weights.${path}`, "weight", axes, "f32", held, capacity, packed && { packed })
    weights.set(x, { input, spec })
    return input
  })
  return { tree: tree as Tree, weights: [...weights.values()] }
}

const packedAs = (format: Format, { stack, dimensions }: WeightSpec): Packed => ({
  format,
  stacked: stack === undefined ? 0 : 1,
  columns: dimensions.at(-1)?.length ?? 0,
})

/** The inputs of a program's states, in its tree of them; a step appends at most `added` rows to one that grows. */
function stateInputs(program: Program, past: Dim, added: number, storage: ProgramOptions["states"]) {
  const states: ir.Input[] = []
  const tree = mapTree(program.states, isSpec("state"), (x, path) => {
    const { axes, dtype, ...spec } = x as StateSpec
    const named = axes.map((a) => ({ name: a.axis, extent: a.grows ? past : dim(a.extent) }))
    const capacity = axes.map((a) => (a.keeps === undefined ? a.extent : Math.min(a.extent, keptRoom(a.keeps, added))))
    const [kept] = axes.flatMap(({ axis, keeps: rows, extent: most }): readonly Kept[] =>
      rows === undefined || rows >= most ? [] : [{ axis, rows, first: sub(past, literal(rows)), most }],
    )
    const stored = storage?.({ axes, dtype, ...spec }) ?? dtype
    const made = ir.input(`states.${path}`, "state", named, dtype, stored, capacity, kept && { kept })
    states.push(made)
    return made
  })
  return { tree: tree as Tree, states }
}

/** Traces the entries named in `names` (all of them by default), those of a model once for each of their bounds, the largest first. */
export function traceModel(program: Program, options: ProgramOptions, names?: readonly string[]): TracedModel {
  const { facts } = program
  const context = facts?.context ?? 0
  const past = symbol("past", context, Math.min(context, 512))
  const { weights, tree: weightTree } = weightInputs(program, options.storage)
  const { states, tree: stateTree } = stateInputs(program, past, options.bounds.at(-1) ?? 1, options.states)
  const grown: readonly SymbolBound[] = facts === undefined ? [] : [{ name: past.name, max: context }]
  const shared = { weights, states, trees: { weights: weightTree, states: stateTree }, grown, choices: options.choices }
  const sizes = new Map<number | undefined, Sizes>()
  const entries = program.entries
    .filter((e) => names === undefined || names.includes(e.name))
    .flatMap((entry) => {
      const bounds = facts === undefined ? [undefined] : boundsOfEntry(entry, options.bounds, facts)
      return bounds.map((bound, i): TracedEntry => {
        const own = sizes.get(bound?.most) ?? createSymbols(bound)
        sizes.set(bound?.most, own)
        const traced = traceEntry(entry, shared, own)
        return i === 0 ? traced : { ...traced, name: `${entry.name}.${bound?.most}`, variantOf: entry.name }
      })
    })
  const most = new Map<string, number>()
  for (const { name, max } of [...grown, ...entries.flatMap((e) => e.symbols)])
    most.set(name, Math.max(max, most.get(name) ?? 0))
  return { weights, states, entries, symbols: [...most].map(([name, max]) => ({ name, max })) }
}

/** What all entries share. */
interface Shared {
  readonly weights: readonly TracedWeight[]
  readonly states: readonly ir.Input[]
  readonly trees: { readonly weights: Tree; readonly states: Tree }
  /** The symbols that states of a model have. */
  readonly grown: readonly SymbolBound[]
  readonly choices: Choices | undefined
}

function traceEntry(entry: Entry, { weights, states, trees, grown, choices }: Shared, sizes: Sizes): TracedEntry {
  const given = Object.entries(entry.inputs).map(([name, spec]) => {
    const axes = spec.axes.map((a) => ({ name: a.axis, extent: sizes.extent(a.extent, entry.place) }))
    const capacity = spec.axes.map((a) => sizes.most(a.extent))
    return [name, ir.input(`inputs.${name}`, "input", axes, spec.dtype, spec.dtype, capacity)] as const
  })
  const inputTree = Object.fromEntries(given) as unknown as Record<string, Traced>
  const known = [...weights.map(({ input }) => input), ...states, ...given.map(([, input]) => input)]
  const { outputs, states: after } = withTracing(createTracing(known, choices), () =>
    entry.run(inputTree, trees.weights, trees.states),
  )
  const results = declaredOutputs(entry, outputs)
  refuseForeign([...results.map(({ tensor }) => tensor), ...tensorsOf(after)], known)
  if (grown.length > 0) for (const { name, tensor } of results) checkOutput(name, tensor, given)
  return {
    name: entry.name,
    symbols: [...grown, ...sizes.list()],
    place: entry.place,
    inputs: given.map(([, input]) => input),
    outputs: results,
    updates: updatesOf(states, after, results),
  }
}
