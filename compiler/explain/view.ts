/**
 * What the page shows, as data: a compilation seen from its source.
 *
 *   entries    step, prefill: their parts (the program itself, and each repeated unit) with launches and costs
 *   parts      the tensor program after each pass, line by line, with the places in the source that each line is from
 *   kernels    the distinct ones: what they compute, where that was written, every form that they went through
 *
 * Places are lines of files. A kernel comes from every line whose call is around something that it computes.
 */

import type { Artifact } from "../../runtime/artifact.js"
import type { Compilation } from "../compile.js"
import type { CompiledFile } from "../compile-file.js"
import { printKernel } from "../ir/print/kernel.js"
import { printLoop } from "../ir/print/loop.js"
import { printTensor } from "../ir/print/tensor.js"
import { sources, topological } from "../ir/tensor/walk.js"
import { spansOf, type Tensor, type Unit } from "../ir/tensor.js"
import { type Divided, kernelSteps } from "../kernel/divide-bindings.js"
import type { KernelStep } from "../kernel/fuse.js"
import { atomsOf, type Cost, costOf, entryFacts, type Facts, factsOf, type Sizes, type StepFacts } from "./facts.js"
import type { KernelCost } from "./kernels.js"
import { applications } from "./unfused.js"

export interface Explanation {
  readonly family: string
  readonly target: Artifact["target"]
  /** Those that the target can emit. */
  readonly atoms: readonly string[]
  readonly facts: Facts
  readonly files: CompiledFile["files"]
  readonly main: string
  readonly entries: readonly EntryView[]
  readonly kernels: readonly KernelView[]
  /** What launches cost, of all entries. */
  readonly costs: readonly KernelCost[]
}

export interface EntryView {
  readonly name: string
  readonly sizes: Sizes
  readonly facts: StepFacts
  readonly parts: readonly PartView[]
}

/** The program of an entry, or a unit that it repeats. */
export interface PartView {
  readonly name: string
  /** How often a run of the entry goes through it. */
  readonly times: number
  readonly programs: readonly { readonly pass: string; readonly lines: readonly TensorLine[] }[]
  readonly launches: readonly LaunchView[]
}

/** A line of a tensor program. `kernels`: the kernels that compute it, for the last program. */
export interface TensorLine {
  readonly text: string
  readonly places: readonly Place[]
  readonly kernels: readonly number[]
}

/** A line of a source file, as `file:line`. */
export type Place = string

export interface LaunchView {
  readonly kernel: number
  /** The buffers by their names in this part, in the order of the kernel's own. */
  readonly buffers: readonly { readonly name: string; readonly role: string }[]
  readonly cost: Cost
}

export interface KernelView {
  readonly number: number
  readonly name: string
  /** All lines that something of it was written on, and those of the values that it stores. */
  readonly places: readonly Place[]
  readonly stored: readonly Place[]
  readonly kernel: string
  readonly schedule: string
  readonly tiled: string
  readonly loops: string
  /** WGSL or CUDA; empty on WebAssembly, whose module is binary. */
  readonly source: string
  readonly threads: number
  readonly groups: number
}

/** @param entries the entries to show, with the values of the size symbols
 * @param costs what launches cost */
export function viewOf(
  { compilation, family, files, main }: CompiledFile,
  entries: readonly { readonly name: string; readonly sizes: Sizes }[],
  costs: readonly KernelCost[],
): Explanation {
  const { artifact } = compilation
  const known = compilation.entries.map((e) => e.name)
  const shown = entries.filter((e) => known.includes(e.name))
  const steps = new Map<number, KernelStep[]>()
  for (const { name } of shown)
    for (const step of kernelSteps(compilation.entries.find((e) => e.name === name)!.program).keys()) {
      const kernel = compilation.numberOf(step)
      steps.set(kernel, [...(steps.get(kernel) ?? []), step])
    }
  return {
    family,
    target: artifact.target,
    atoms: atomsOf(compilation),
    facts: factsOf(compilation, shown.find((e) => e.name === "step")?.sizes ?? new Map()),
    files,
    main,
    costs,
    entries: shown.map(({ name, sizes }) => entryView(compilation, name, sizes)),
    kernels: [...steps].sort(([a], [b]) => a - b).map(([number, of]) => kernelView(compilation, number, of)),
  }
}

function kernelView({ artifact, kernels }: Compilation, number: number, steps: readonly KernelStep[]): KernelView {
  const { kernel, schedule, tiled, loops } = kernels[number]!
  const places = new Set(steps.flatMap(({ computes }) => computes.flatMap(placesOf)))
  return {
    number,
    name: loops.name,
    places: [...places],
    stored: [...new Set(kernel.spans.map((s) => `${s.file}:${s.line}`))],
    kernel: printKernel(kernel),
    schedule: JSON.stringify(schedule, undefined, 1),
    tiled: printLoop(tiled),
    loops: printLoop(loops),
    source: artifact.kernels[number]!.source,
    threads: loops.threads,
    groups: loops.groups,
  }
}

const placesOf = (t: Tensor): readonly Place[] => spansOf(t).map((s) => `${s.file}:${s.line}`)

function entryView(compilation: Compilation, name: string, sizes: Sizes): EntryView {
  const { programs, program } = compilation.entries.find((e) => e.name === name)!
  const parts: PartView[] = []
  const add = (part: string, times: number, stages: Stages, own: Divided) => {
    const launches = own.steps.filter((s) => s.kind === "kernel")
    parts.push({
      name: part,
      times,
      programs: stages.map(({ pass, results }, i) => ({
        pass,
        lines: linesOf(results, i === stages.length - 1 ? launches : [], compilation),
      })),
      launches: launches.map((step) => {
        const kernel = compilation.numberOf(step)
        const buffers = step.bindings.map((name) => ({ name, role: roleOf(own, name) }))
        return { kernel, buffers, cost: costOf(compilation, kernel, sizes) }
      }),
    })
    // Units by the order of their first application, which all passes keep.
    const calls = stages.map(({ results }) => distinctUnits(results))
    const applied = own.steps.filter((s) => s.kind === "call")
    for (const [i, unit] of calls.at(-1)!.entries()) {
      const here = applied.filter((c) => c.unit === unit)
      const unitStages = stages.flatMap(({ pass }, at) => {
        const then = calls[at]!.length === calls.at(-1)!.length ? calls[at]![i] : undefined
        return then === undefined ? [] : [{ pass, results: then.results }]
      })
      const [first] = here
      if (first !== undefined) add(unit.name, times * here.length, unitStages, first.body)
    }
  }
  add(name, 1, programs, program)
  return { name, sizes, facts: entryFacts(compilation, name, sizes)!, parts }
}

type Stages = readonly { readonly pass: string; readonly results: readonly Tensor[] }[]

const distinctUnits = (results: readonly Tensor[]): readonly Unit[] => [
  ...new Set(applications(results).map((c) => c.unit)),
]

/** The lines of a program, each with the node that it prints; of repeated applications of a unit the first alone. */
function linesOf(results: readonly Tensor[], launches: readonly KernelStep[], compilation: Compilation): TensorLine[] {
  const order = topological(results)
  const [text] = printTensor(results).split("\n\n")
  const lines = text!.split("\n")
  const calls = applications(results)
  const first = new Map<Unit, Tensor>()
  for (const c of calls) if (!first.has(c.unit)) first.set(c.unit, c)
  const repeated = (t: Tensor) =>
    t.kind === "call" && !t.args.every((a, i) => a === (first.get(t.unit) as typeof t).args[i])
  const needed = new Set<Tensor>(order.filter((t) => !repeated(t) && t.kind !== "input"))
  const used = new Set([...needed].flatMap(sources))
  const kept = (t: Tensor) => needed.has(t) || used.has(t) || results.includes(t)
  const made = order.flatMap((t, i): TensorLine[] => {
    const line = { text: shortened(lines[i]!), places: placesOf(t), kernels: kernelsOf(t, launches, compilation) }
    const again = t.kind === "call" && first.get(t.unit) === t ? calls.filter((c) => c.unit === t.unit).length - 1 : 0
    const more = {
      text: `⋮ and ${again} more applications of ${t.kind === "call" ? t.unit.name : ""}`,
      places: [],
      kernels: [],
    }
    return kept(t) && !repeated(t) ? (again > 0 ? [line, more] : [line]) : []
  })
  return [...made, { text: shortened(lines.at(-1)!), places: [], kernels: [] }]
}

/** A line that lists very many results is cut. */
const shortened = (text: string): string => (text.length > 400 ? `${text.slice(0, 400)} …` : text)

const kernelsOf = (t: Tensor, launches: readonly KernelStep[], { numberOf }: Compilation): readonly number[] => [
  ...new Set(launches.filter((s) => s.computes.includes(t)).map(numberOf)),
]

/** What a buffer is for. */
function roleOf({ buffers }: Divided, name: string): string {
  const found = buffers.get(name)
  return found?.input?.role ?? found?.role ?? ""
}
