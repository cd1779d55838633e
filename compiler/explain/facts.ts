/**
 * The facts of a compilation: what its decode step moves and computes, against what the program asks for.
 *
 *   { kernelsPerLayer: { dense: 7, moe: null }, distinctKernels: 23,
 *     step: { bytes: 1.45e9, floorBytes: 1.43e9, operations: 1.47e9, unfusedOperations: 1.44e9 }, scratchBytes: 1.2e8, weightBytes: 1.2e9 }
 *
 * A layer is an application of a unit, a call, in the entry `step`; it is "moe" when it picks members of a weight by indices that it
 * computes, else "dense". Where there are several kinds the number is the largest. What does not apply is null.
 */
import type { Artifact, ArtifactEntry } from "../../runtime/artifact.js"
import type { Compilation } from "../compile.js"
import { kernelSteps } from "../kernel/divide-bindings.js"
import { targetFor } from "../targets/target.js"
import { operationsOf } from "./operations.js"
import { type BufferTraffic, trafficOf } from "./traffic.js"
import { floorBytes, gathersWeights, unfusedOperations } from "./unfused.js"

export interface Facts {
  readonly kernelsPerLayer: { readonly dense: number | null; readonly moe: number | null }
  readonly distinctKernels: number
  readonly step: StepFacts | null
  /** What the buffers between the kernels of a prefill take. */
  readonly scratchBytes: number | null
  readonly weightBytes: number
}

export interface StepFacts {
  readonly bytes: number
  readonly floorBytes: number
  readonly operations: number
  /** Those that are needed: each tensor that is used, computed once; and of them those of sums of products, which matrix units do. */
  readonly unfusedOperations: number
  readonly unfusedProducts: number
}

/** What one launch of a kernel costs. */
export interface Cost {
  readonly bytes: number
  readonly operations: number
  /** Of these the ones of sums of products, which matrix units do. */
  readonly products: number
  /** How often matrix units multiply for each of these. */
  readonly terms: number
  readonly buffers: readonly BufferTraffic[]
}

/** The atoms that kernels may be made of: those of any device that the target is for, and what the kernels of this one have taken. */
export function atomsOf({ artifact, kernels }: Pick<Compilation, "artifact" | "kernels">): readonly string[] {
  const { target, precision } = artifact
  const taken = kernels.flatMap((k) => k.schedule.stores.flatMap((s) => s.atom?.name ?? []))
  return [...new Set([...(targetFor(target, undefined, precision).schedule.atoms?.names ?? []), ...taken])]
}

/** Whether all bits of f32 count where matrix units multiply: only by what is stored as halves then, and in three terms. */
const isWhole = ({ precision }: Pick<Artifact, "precision">) => precision === "exact"

/** How often units multiply for a product of an artifact's. */
export const termsOf = (artifact: Pick<Artifact, "precision">): number => (isWhole(artifact) ? 3 : 1)

export type Sizes = ReadonlyMap<string, number>

/** What a launch of kernel number `at` costs. */
export function costOf({ artifact, kernels, within }: Compilation, at: number, sizes: Sizes): Cost {
  const { kernel, schedule } = kernels[at]!
  const buffers = trafficOf(kernel, sizes)
  const bytes = buffers.reduce((n, b) => n + b.bytes, 0)
  const [operations, products] = within(() =>
    (["all", "products"] as const).map((counted) => operationsOf(kernel, schedule, sizes, counted)),
  ) as [number, number]
  const taken = !isWhole(artifact) || schedule.stores.some((s) => s.atom !== undefined)
  return { bytes, operations, products: taken ? Math.min(products, operations) : 0, terms: termsOf(artifact), buffers }
}

/** What a run of an entry costs, and what its program asks for. */
export function entryFacts(compilation: Compilation, entry: string, sizes: Sizes): StepFacts | undefined {
  const found = compilation.entries.find((e) => e.name === entry)
  if (found === undefined) return undefined
  const costs = new Map<number, Cost>()
  let [bytes, operations] = [0, 0]
  for (const [step, times] of kernelSteps(found.program)) {
    const kernel = compilation.numberOf(step)
    const cost = costs.get(kernel) ?? costOf(compilation, kernel, sizes)
    costs.set(kernel, cost)
    bytes += times * cost.bytes
    operations += times * cost.operations
  }
  const asked = found.programs[0]!.results
  // What the definition computes of which nothing is used is not needed: passes leave it out. Others put work in the place of work.
  const counted = isWhole(compilation.artifact) ? "products of halves" : "products"
  const [unfused, unfusedProducts] = found.programs
    .map(({ results }) => [unfusedOperations(results, sizes), unfusedOperations(results, sizes, counted)] as const)
    .reduce((a, b) => (b[0] < a[0] ? b : a))
  return {
    bytes,
    floorBytes: floorBytes(asked, sizes),
    operations,
    unfusedOperations: unfused,
    unfusedProducts: Math.min(unfused, unfusedProducts),
  }
}

/** @param sizes the values of the size symbols in a step */
export function factsOf(compilation: Compilation, sizes: Sizes): Facts {
  const { artifact } = compilation
  return {
    kernelsPerLayer: kernelsPerLayer(compilation),
    distinctKernels: artifact.kernels.length,
    step: entryFacts(compilation, "step", sizes) ?? null,
    scratchBytes: artifact.entries.prefill === undefined ? null : scratchOf(artifact, artifact.entries.prefill),
    weightBytes: artifact.buffers.reduce((n, b) => (b.role === "weight" ? n + b.bytes : n), 0),
  }
}

function kernelsPerLayer(compilation: Compilation): Facts["kernelsPerLayer"] {
  const step = compilation.entries.find((e) => e.name === "step")
  const most = { dense: null as number | null, moe: null as number | null }
  for (const { unit, body } of step?.program.steps.filter((s) => s.kind === "call") ?? []) {
    const kind = gathersWeights(unit.results) ? "moe" : "dense"
    const kernels = [...kernelSteps(body).values()].reduce((n, times) => n + times, 0)
    most[kind] = Math.max(most[kind] ?? 0, kernels)
  }
  return most
}

/** Bytes of the memory that an entry's scratch buffers take turns in. */
function scratchOf({ buffers }: Artifact, { launches }: ArtifactEntry): number {
  const slots = new Map<number, number>()
  for (const b of new Set(launches.flatMap((l) => l.buffers))) {
    const { role, slot, bytes } = buffers[b]!
    if (role === "scratch") slots.set(slot, Math.max(slots.get(slot) ?? 0, bytes))
  }
  return [...slots.values()].reduce((n, bytes) => n + bytes, 0)
}
