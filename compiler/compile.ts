/**
 * The compiler, from top to bottom.
 *
 *   model file ── frontend ──▶ module ── trace, simplify, hoist, online, gather, prefixes ──▶ tensor programs ── fuse ──▶ kernels
 *              ── schedule, tile, clean, invariants, vectors, halve ──▶ loops ── emit ──▶ WGSL | WebAssembly ── plan ──▶ artifact
 */
import type { Program } from "../dsl/model.js"
import type { StateSpec, WeightSpec } from "../dsl/tracing.js"
import {
  type Artifact,
  type ArtifactEntry,
  type ArtifactKernel,
  type ArtifactTarget,
  artifactVersion,
  type Precision,
} from "../runtime/artifact.js"
import { WeftError } from "../runtime/errors.js"
import { identity, sameTable, withTable } from "./ir/expression.js"
import type { Kernel } from "./ir/kernel.js"
import type { LoopKernel, Storage } from "./ir/loop.js"
import { verifyLoop } from "./ir/loop-verify.js"
import { monoidKey } from "./ir/monoid.js"
import type { Refusal, Schedule } from "./ir/schedule.js"
import type { Tensor, Unit } from "./ir/tensor.js"
import { programArrays } from "./passes/arrays.js"
import { attempt } from "./passes/attempts.js"
import { clean } from "./passes/clean.js"
import { shortenContext } from "./passes/context.js"
import { defaultCutLimits } from "./passes/cuts.js"
import { type Fused, fuse, type KernelStep } from "./passes/fuse.js"
import { type GatherLimits, groupGathers } from "./passes/gather.js"
import { markGrowing } from "./passes/growing.js"
import { halveProducts } from "./passes/halve.js"
import { hoist } from "./passes/hoist.js"
import { hoistInvariants } from "./passes/invariants.js"
import { needsOf } from "./passes/needs.js"
import { defaultOnlineLimits, type OnlineUnits, online } from "./passes/online.js"
import { type Launched, type Plan, planArtifact } from "./passes/plan.js"
import { blockPrefixes, defaultPrefixLimits } from "./passes/prefixes.js"
import { ownOutputs, type TracedModel, traceModel } from "./passes/programs.js"
import type { Units } from "./passes/rewrite.js"
import { simplify } from "./passes/simplify.js"
import { splitFolds } from "./passes/split.js"
import { scratchStorage, stateStorage } from "./passes/storage.js"
import { isRefusal, tile } from "./passes/tile.js"
import { authorSpan } from "./passes/trace-arguments.js"
import { mergeFetches } from "./passes/vectors.js"
import { weightMap } from "./passes/weight-map.js"
import { emitKernels } from "./targets/emit.js"
import { type AdapterFacts, type Target, targetFor } from "./targets/target.js"
import { tunedSchedule } from "./tuned/lookup.js"
import type { TunedRecord } from "./tuned/record.js"

export interface CompileOptions {
  readonly target: ArtifactTarget
  /** How a weight lies in the checkpoint. */
  readonly storage: (spec: WeightSpec) => Storage
  /**
   * How values are kept between kernels: as they are computed, or rounded to bf16 where `storage.ts` says so, with products in f16 for them
   * (`halve.ts`). Exact when left out.
   */
  readonly precision?: Precision
  /** Tokens that one prefill takes at most. */
  readonly chunk?: number
  /** Tokens of prompt and answer together at most; the model's own number when left out. */
  readonly context?: number
  /** The adapter that will run the artifact; without it the artifact runs on every one. */
  readonly adapter?: AdapterFacts
  /** Entry points to compile; all by default. */
  readonly entries?: readonly string[]
  /** Whether folds that wait for one another along an axis become one; they do not when left out. */
  readonly online?: boolean
  /** When rows are grouped by what data choose for them; as the target has it when left out, never when false. */
  readonly gather?: GatherLimits | false
  /** Bytes of a buffer that a kernel may bind; what every adapter grants, or the adapter's own, when left out. */
  readonly bindingBytes?: number
  /** Schedules that were measured on the device; heuristics decide for kernels that it does not hold. */
  readonly tuned?: TunedRecord
  /** Verify the programs between the passes. */
  readonly verify?: boolean
}

/** A kernel after each pass that it went through alone. */
export interface CompiledKernel {
  readonly kernel: Kernel
  readonly schedule: Schedule
  /** Where the schedule comes from; a refusal: the tuned one is not possible, and heuristics decided. */
  readonly origin: "heuristics" | "tuned" | Refusal
  /** As `tile` made it. */
  readonly tiled: LoopKernel
  /** As it is emitted. */
  readonly loops: LoopKernel
}

/** An entry point: its tensor program after each pass by name, and its kernels. */
export interface CompiledEntry {
  readonly name: string
  readonly programs: readonly { readonly pass: string; readonly results: readonly Tensor[] }[]
  readonly fused: Fused
}

export interface Compilation {
  readonly artifact: Artifact
  readonly traced: TracedModel
  readonly kernels: readonly CompiledKernel[]
  readonly entries: readonly CompiledEntry[]
  /** Runs what looks into the compilation's programs and kernels. */
  readonly within: <T>(body: () => T) => T
  /** The kernels of a unit that an entry calls. */
  readonly unit: (unit: Unit) => Fused
  /** The kernels that a step of `entries` or of a unit is launched as: one, or several over parts of large weights. */
  readonly launched: ReadonlyMap<KernelStep, readonly Launched[]>
}

/** Compiles a configured model, or a program, for one target. */
export function compileProgram(given: Program, family: string, options: CompileOptions): Compilation {
  return withTable(() => {
    const program = shortenContext(given, options.context)
    const target = targetFor(options.target, options.adapter, options.precision)
    checkTarget(options)
    // A block holds its locals beside what it exchanges.
    const localElements = Math.min(defaultCutLimits.localElements, target.tile.sharedBytes >> 3)
    const cuts = { ...defaultCutLimits, localElements }
    const limits = { bindings: target.bindings, bindingBytes: options.bindingBytes ?? target.bindingBytes }
    const chunk = Math.min(options.chunk ?? 128, program.facts?.context ?? Number.POSITIVE_INFINITY)
    const { precision = "exact" } = options
    const states = (spec: StateSpec) => stateStorage(spec, precision)
    const traced = traceModel(program, { chunk, storage: options.storage, states }, options.entries)

    const carries = options.online ?? true
    const grouping = options.gather === false ? undefined : (options.gather ?? target.gather)
    const simplified = new Map<Tensor | Unit, Tensor | Unit>()
    const hoistedUnits: Units = new Map()
    const onlineUnits: OnlineUnits = { matched: new Map(), joined: new Map() }
    const grouped = new Map<Tensor | Unit, Tensor | Unit>()
    const prefixUnits: Units = new Map()
    const units = new Map<Unit, Fused>()
    const fuseAll = (results: readonly Tensor[]) => {
      const fused = fuse(results, { ...limits, cuts, storage: (rs) => scratchStorage(rs, precision) })
      return target.split === undefined ? fused : splitFolds(fused, target.split)
    }
    const fuseUnit = (unit: Unit): Fused => {
      const fused = units.get(unit) ?? fuseAll(unit.results)
      units.set(unit, fused)
      return fused
    }
    const entries = traced.entries.map((e) => {
      const tensors = (roots: readonly { readonly tensor: Tensor }[]) => roots.map((r) => r.tensor)
      const simple = (roots: readonly Tensor[]) => simplify(roots, simplified)
      const simplest = [...simple(tensors(e.outputs)), ...simple(tensors(e.updates))]
      const hoisted = carries ? hoist(simplest, hoistedUnits) : simplest
      const carried = carries ? online(hoisted, defaultOnlineLimits, onlineUnits) : hoisted
      const owned = [...ownOutputs(carried.slice(0, e.outputs.length)), ...carried.slice(e.outputs.length)]
      const gathered = grouping === undefined ? owned : groupGathers(owned, grouping, grouped)
      const results = blockPrefixes(gathered, defaultPrefixLimits, prefixUnits)
      return {
        name: e.name,
        outputs: e.outputs.map((o) => o.name),
        programs: [
          { pass: "trace", results: [...tensors(e.outputs), ...tensors(e.updates)] },
          { pass: "simplify", results: carries ? simplest : owned },
          ...(carries
            ? [
                { pass: "hoist", results: hoisted },
                { pass: "online", results: owned },
              ]
            : []),
          ...(grouping === undefined ? [] : [{ pass: "gather", results: gathered }]),
          { pass: "prefixes", results },
        ],
        fused: fuseAll(results),
      }
    })

    const library = createLibrary(target, options.verify ?? false, options.tuned)
    const plan = planArtifact(entries, { unit: fuseUnit, kernel: library.place, limits })
    const { facts } = program
    const purpose =
      facts === undefined
        ? { program: programArrays(traced.entries[0]!, entries[0]!.programs.at(-1)!.results, plan.buffers) }
        : { model: { ...facts, ...unread(traced, plan, facts.ignore), family, chunk } }
    const artifact = assemble(plan, library.kernels, traced, purpose, target, precision)
    return {
      artifact,
      traced,
      kernels: library.kernels,
      entries,
      within: sameTable(),
      unit: fuseUnit,
      launched: plan.launched,
    }
  })
}

/** Weights that no kernel reads are not in the artifact; a checkpoint may hold them all the same. */
function unread({ weights }: TracedModel, plan: Plan, ignore: readonly string[] = []): { ignore?: readonly string[] } {
  const names = weights.filter((w) => weightMap(w, plan).length === 0).flatMap(({ spec }) => spec.tensors)
  return names.length === 0 ? {} : { ignore: [...ignore, ...names] }
}

function checkTarget({ target, tuned }: CompileOptions): void {
  if (tuned !== undefined && tuned.target !== target)
    throw new WeftError("tuned/target", `the schedules of ${tuned.device} are for ${tuned.target}, not for ${target}`, {
      hint: "name a file that weft tune wrote for this target",
    })
}

/** The distinct kernels of an artifact: equal ones are compiled once. */
function createLibrary(target: Target, verify: boolean, tuned: TunedRecord | undefined) {
  const kernels: CompiledKernel[] = []
  const numbers = new Map<string, number>()
  const place = (kernel: Kernel) => {
    const key = kernelKey(kernel)
    let index = numbers.get(key)
    if (index === undefined) {
      index = kernels.length
      numbers.set(key, index)
      const named = { ...kernel, name: `k${index}_${kernel.name}`.replace(/[^A-Za-z0-9_]/g, "_") }
      kernels.push({ kernel: named, ...schedule(named, target, verify, tuned) })
    }
    return { index, groups: kernels[index]!.loops.groups }
  }
  return { kernels, place }
}

/** schedule, tile, clean, invariants, vectors, halve. */
export function schedule(
  kernel: Kernel,
  target: Target,
  verify: boolean,
  tuned?: TunedRecord,
): Omit<CompiledKernel, "kernel"> {
  const measured = tuned === undefined ? undefined : tunedSchedule(kernel, tuned)
  const kept = measured === undefined ? undefined : tile(kernel, measured, target.tile)
  const found =
    measured === undefined || kept === undefined || isRefusal(kept)
      ? attempt(kernel, target.schedule, target.tile)
      : { schedule: measured, tiled: kept }
  if ("code" in found)
    throw new WeftError(
      "compile/schedule",
      `kernel '${kernel.name}' cannot be scheduled: ${found.why} (${found.code})`,
      {
        span: kernel.spans.at(-1),
      },
    )
  const loops = finished(found.tiled, target)
  const problems = verify ? verifyLoop(loops) : []
  if (problems.length > 0)
    throw new WeftError("compile/verify", `kernel '${kernel.name}': ${problems.map((p) => p.message).join("; ")}`)
  return { ...found, origin: kept === undefined ? "heuristics" : isRefusal(kept) ? kept : "tuned", loops }
}

/** The loops of a kernel under a schedule, as they are emitted. */
export function loopsFor(kernel: Kernel, schedule: Schedule, target: Target): LoopKernel | Refusal {
  const tiled = tile(kernel, schedule, target.tile)
  return isRefusal(tiled) ? tiled : finished(tiled, target)
}

/** Loops as they are emitted, from what `tile` made. */
function finished(tiled: LoopKernel, target: Target): LoopKernel {
  const cleaned = hoistInvariants(clean(tiled))
  const merged = target.name === "webgpu" ? mergeFetches(cleaned) : cleaned
  return target.f16 === true ? halveProducts(merged) : merged
}

/** Expressions are interned, so their identities spell the structure. */
function kernelKey(kernel: Kernel): string {
  const buffers = kernel.buffers.map((b) => `${b.dtype} ${b.storage} ${b.shape}`)
  const items = kernel.items.map((i) => {
    const axes = i.axes.map((a) => `${a.name} ${identity(a.extent)}`).join(",")
    return i.kind === "local"
      ? `${i.name} ${axes} ${identity(i.value)}`
      : `${i.buffer} ${axes} ${i.index.map(identity)} ${identity(i.value)} ${i.monoid === undefined ? "" : monoidKey(i.monoid)}`
  })
  return [...buffers, ...items, ...(kernel.long ?? [])].join(";")
}

function assemble(
  plan: Plan,
  kernels: readonly CompiledKernel[],
  traced: TracedModel,
  purpose: Pick<Artifact, "model" | "program">,
  target: Target,
  precision: Precision,
): Artifact {
  const symbols = traced.symbols
  const emitted = emitKernels(
    kernels.map((k) => k.loops),
    symbols.map((s) => s.name),
    target,
  )
  const compiled = kernels.map(({ kernel }, i): ArtifactKernel => {
    const span = authorSpan(kernel.spans)
    return { ...emitted.kernels[i]!, ...(span === undefined ? {} : { span }) }
  })
  return {
    format: "weft",
    version: artifactVersion,
    target: target.name,
    precision,
    ...purpose,
    symbols,
    slots: plan.slots,
    buffers: markGrowing(plan.buffers, traced),
    weights: traced.weights.flatMap((weight) => weightMap(weight, plan)),
    constants: plan.constants.map(({ buffer, constant }) => ({
      buffer,
      base64: base64(constantBytes(constant.values, constant.dtype)),
    })),
    kernels: compiled,
    module: base64(emitted.module),
    entries: Object.fromEntries(
      Object.entries(plan.entries).map(([name, entry]) => [name, { ...entry, ...needing(traced, name) }]),
    ),
  }
}

function needing({ entries }: TracedModel, name: string): Pick<ArtifactEntry, "needs"> {
  const roots = entries.filter((e) => e.name === name).flatMap((e) => [...e.outputs, ...e.updates])
  const needs = needsOf(roots.map((r) => r.tensor))
  return needs.length === 0 ? {} : { needs }
}

function constantBytes(values: Float64Array, dtype: "f32" | "i32" | "u32" | "bool"): Uint8Array {
  const words =
    dtype === "f32" ? Float32Array.from(values) : dtype === "i32" ? Int32Array.from(values) : Uint32Array.from(values)
  return new Uint8Array(words.buffer)
}

const base64 = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64")
