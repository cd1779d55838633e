/**
 * The compiler, from top to bottom: `compileProgram` is the list of its passes as they run.
 *
 *   model file ── frontend ──▶ module ── trace ──▶ tensor programs ── simplify, hoist, online, outputs, gather, prefixes, scaled rows, unpack ──▶ tensor programs
 *              ── fuse, split, divide-bindings ──▶ kernels ── schedule, tile ──▶ loops ── the target's own passes ──▶ loops
 *              ── prove, emit, plan ──▶ artifact
 *
 * With `verify` what each of them has made is verified before the next one sees it.
 */

import type { Program } from "../dsl/model.js"
import type { StateSpec, WeightSpec } from "../dsl/tracing.js"
import {
  type Artifact,
  type ArtifactEntry,
  type ArtifactKernel,
  type ArtifactNeed,
  type ArtifactTarget,
  artifactVersion,
  defaultPrecision,
  type Precision,
} from "../runtime/artifact.js"
import { WeftError } from "../runtime/errors.js"
import { acrossFormat } from "../runtime/weights/formats/across.js"
import type { Format } from "../runtime/weights/formats/format.js"
import { wideFormat } from "../runtime/weights/formats/wide.js"
import { compileKernels, passed, refuseProblems } from "./compile-kernels.js"
import { sameTable, withTable } from "./ir/expression.js"
import type { Kernel, Store } from "./ir/kernel.js"
import type { Storage } from "./ir/loop.js"
import type { AdapterFacts, BindingLimits, GatherLimits, Scales } from "./ir/machine.js"
import type { Tensor } from "./ir/tensor.js"
import { verifyTensor } from "./ir/verify/tensor.js"
import { defaultCutLimits } from "./kernel/cuts.js"
import { createDivider, type Divided, kernelSteps } from "./kernel/divide-bindings.js"
import { type Fused, fuse, type KernelStep } from "./kernel/fuse.js"
import { mergeFolds } from "./kernel/merge-folds.js"
import { cutRules } from "./kernel/rules.js"
import { splitReductions } from "./kernel/split-reductions.js"
import { markGrowing } from "./plan/growing.js"
import { programArrays } from "./plan/host-arrays.js"
import { needsOf } from "./plan/needs.js"
import { type Plan, planArtifact } from "./plan/plan.js"
import { markSteady } from "./plan/steady.js"
import { weightMap } from "./plan/weight-map.js"
import { type ProvenKernel, proveKernels } from "./prove-kernels.js"
import { blocksTogether } from "./schedule/choose.js"
import type { TunedRecord } from "./schedule/tuned/record.js"
import { type Target, targetFor } from "./targets/target.js"
import { type TensorPass, tensorPasses } from "./tensor/pipeline.js"
import { scratchStorage, shortestRow, stateStorage } from "./tensor/storage.js"
import { authorSpan } from "./trace/arguments.js"
import { boundsOf } from "./trace/bounds.js"
import { shortenContext } from "./trace/context.js"
import { type TracedEntry, type TracedModel, traceModel } from "./trace/programs.js"

export interface CompileOptions {
  readonly target: ArtifactTarget
  /** How a weight lies in the checkpoint. */
  readonly storage: (spec: WeightSpec) => Storage | Format
  /**
   * How values are kept between kernels: as they are computed, or rounded to bf16 where `storage.ts` says so, with products in f16 for them
   * (`half-products.ts`). Exact when left out.
   */
  readonly precision?: Precision
  /** Rows, such as tokens of a prompt, that one step takes at most; as the target has it when left out. */
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

/** An entry point, or one's variant for fewer rows: its tensor program after each pass by name, and its kernels. */
export interface CompiledEntry extends Pick<TracedEntry, "name" | "variantOf" | "symbols"> {
  readonly outputs: readonly string[]
  readonly programs: readonly { readonly pass: string; readonly results: readonly Tensor[] }[]
  readonly program: Divided
}

export interface Compilation {
  readonly artifact: Artifact
  readonly traced: TracedModel
  readonly kernels: readonly ProvenKernel[]
  readonly entries: readonly CompiledEntry[]
  /** The number of the kernel that a step of an entry launches. */
  readonly numberOf: (step: KernelStep) => number
  /** Runs what looks into the compilation's programs and kernels. */
  readonly within: <T>(body: () => T) => T
}

/** Compiles a configured model, or a program, for one target. */
export function compileProgram(given: Program, family: string, options: CompileOptions): Compilation {
  return withTable(() => {
    checkTarget(options)
    const { precision = defaultPrecision, verify = false, tuned } = options
    const program = shortenContext(given, options.context)
    const target = targetFor(options.target, options.adapter, precision)
    const limits = { bindings: target.bindings, bindingBytes: options.bindingBytes ?? target.bindingBytes }
    const asked = { chunk: options.chunk, bindingBytes: limits.bindingBytes }
    const bounds = boundsOf(target.bounds, program.facts ?? {}, asked)

    // Model → tensor programs.
    const storage = storageWith(target.scales, options.storage)
    const states = (spec: StateSpec) => stateStorage(spec, precision, target.tile)
    const traced = traceModel(program, { bounds, storage, states, choices: target.choices }, options.entries)
    const gather = options.gather === false ? undefined : (options.gather ?? target.gather)
    const keepFactors = target.narrow === true || precision === "exact"
    const scaledRows = target.schedule.atoms?.storage === "f16"
    const integers = precision === "fast" && target.integers === true
    const passes = tensorPasses({ online: options.online ?? true, gather, keepFactors, scaledRows, integers })
    const rewritten = traced.entries.map((entry) => rewriteEntry(entry, passes, verify))

    // Tensor programs → kernels.
    const fused = createFuser(target, limits, precision)
    const divided = createDivider((unit) => fused(unit.results), limits)
    const entries = rewritten.map((e) => ({ ...e, program: divided(fused(e.programs.at(-1)!.results)) }))

    // Kernels → loops.
    const steps = entries.flatMap((e) => [...kernelSteps(e.program).keys()])
    const { kernels: scheduled, numberOf } = compileKernels(steps, target, { tuned, verify })

    // Loops → proofs.
    const needs = new Map(
      traced.entries.map((e) => [e.name, needsOf([...e.outputs, ...e.updates].map((r) => r.tensor))]),
    )
    const launching = entries.map((e) => ({
      kernels: [...kernelSteps(e.program).keys()].map(numberOf),
      needs: needs.get(e.name)!,
      symbols: e.symbols,
    }))
    const proven = proveKernels(scheduled, launching)

    // Loops → artifact.
    const plan = planArtifact(entries, (step) => {
      const index = numberOf(step)
      return { index, groups: proven[index]!.loops.groups }
    })
    const kernels = launched(proven, plan, target, verify)
    const { facts } = program
    const purpose =
      facts === undefined
        ? { program: programArrays(traced.entries[0]!, entries[0]!.programs.at(-1)!.results, plan.buffers) }
        : { model: { ...facts, ...unread(traced, plan, facts.ignore), family, chunk: bounds.at(-1)! } }
    const artifact = assemble(plan, kernels, traced, needs, purpose, target, precision)
    return { artifact, traced, kernels, entries, numberOf, within: sameTable() }
  })
}

/** An entry's tensor program after each pass. */
function rewriteEntry(
  { name, variantOf, symbols, outputs, updates }: TracedEntry,
  passes: readonly TensorPass[],
  verify: boolean,
): Omit<CompiledEntry, "program"> {
  const programs: { readonly pass: string; readonly results: readonly Tensor[] }[] = []
  const add = (pass: string, results: readonly Tensor[]) => {
    if (verify) refuseProblems(`entry '${name}' after ${pass}`, verifyTensor(results))
    programs.push({ pass, results })
    return results
  }
  let now = add(
    "trace",
    [...outputs, ...updates].map((root) => root.tensor),
  )
  for (const pass of passes) now = add(pass.name, pass.run(now, outputs.length))
  const of = variantOf === undefined ? {} : { variantOf }
  return { name, ...of, symbols, outputs: outputs.map((o) => o.name), programs }
}

/** fuse, then split, then merge folds for lanes to share: a program, or a unit, over what one kernel may bind and hold. */
function createFuser(target: Target, limits: BindingLimits, precision: Precision) {
  // A block holds its locals beside what it exchanges.
  const localElements = Math.min(defaultCutLimits.localElements, target.tile.sharedBytes >> 3)
  const lanes = target.schedule.rules === "simt" ? { lanes: target.schedule.threads } : {}
  const decodedElements = Math.min(cutRules.decodedElements, Math.floor(limits.bindingBytes / 4))
  const cuts = { ...defaultCutLimits, localElements, decodedElements, ...lanes }
  const units = target.schedule.atoms === undefined ? {} : { units: target.schedule.atoms.storage }
  const integers = precision === "fast" && target.integers === true
  // Values of the places of a block, such as what each is scaled by, are short rows.
  const shortest = Math.max(shortestRow, (target.gather?.block ?? 0) + 1)
  const splitting = target.split && {
    ...target.split,
    blocksOf: (store: Store, kernel: Kernel) => blocksTogether(store, kernel, target.schedule),
  }
  return (results: readonly Tensor[]): Fused => {
    const storage = (rs: readonly Tensor[]) => scratchStorage(rs, precision, target.tile, shortest)
    const fused = fuse(results, { ...limits, ...units, integers, cuts, storage })
    const split = splitting === undefined ? fused : splitReductions(fused, splitting, limits.bindings)
    return target.schedule.rules === "simt" ? mergeFolds(split) : split
  }
}

/** The kernels as they are launched: with their steady buffers known, after the target's passes for that. */
function launched(
  kernels: readonly ProvenKernel[],
  plan: Plan,
  target: Target,
  verify: boolean,
): readonly ProvenKernel[] {
  const { launchPasses = [] } = target
  if (launchPasses.length === 0) return kernels
  const marked = markSteady(
    kernels.map((k) => k.loops),
    plan,
  )
  return kernels.map((kernel, i) => ({ ...kernel, loops: passed(marked[i]!, launchPasses, target, verify) }))
}

/** Weights that no kernel reads are not in the artifact; a checkpoint may hold them all the same. */
function unread({ weights }: TracedModel, plan: Plan, ignore: readonly string[] = []): { ignore?: readonly string[] } {
  const names = weights.filter((w) => weightMap(w, plan).length === 0).flatMap(({ spec }) => spec.tensors)
  return names.length === 0 ? {} : { ignore: [...ignore, ...names] }
}

const held = { wide: wideFormat, across: acrossFormat } as const

/** Storage with formats whose scales are held in some way. */
function storageWith(scales: Scales | undefined, storage: CompileOptions["storage"]): CompileOptions["storage"] {
  if (scales === undefined) return storage
  return (spec) => {
    const stored = storage(spec)
    return typeof stored === "string" ? stored : held[scales](stored)
  }
}

function checkTarget({ target, tuned }: CompileOptions): void {
  if (tuned !== undefined && tuned.target !== target)
    throw new WeftError("tuned/target", `the schedules of ${tuned.device} are for ${tuned.target}, not for ${target}`, {
      hint: "name a file that weft tune wrote for this target",
    })
}

function assemble(
  plan: Plan,
  kernels: readonly ProvenKernel[],
  traced: TracedModel,
  needs: ReadonlyMap<string, readonly ArtifactNeed[]>,
  purpose: Pick<Artifact, "model" | "program">,
  target: Target,
  precision: Precision,
): Artifact {
  const symbols = traced.symbols
  const emitted = target.emit(
    kernels.map((k) => k.loops),
    symbols.map((s) => s.name),
  )
  const compiled = kernels.map(({ kernel, proven }, i): ArtifactKernel => {
    const span = authorSpan(kernel.spans)
    return { ...emitted.kernels[i]!, ...(proven ? { proven } : {}), ...(span === undefined ? {} : { span }) }
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
    ...(emitted.prelude === undefined ? {} : { prelude: emitted.prelude }),
    entries: Object.fromEntries(
      traced.entries.map((e) => [e.name, { ...plan.entries[e.name]!, ...demandsOf(e, needs.get(e.name)!, symbols) }]),
    ),
  }
}

/** What an entry says beside its launches. */
function demandsOf(
  { variantOf, symbols }: TracedEntry,
  needs: readonly ArtifactNeed[],
  all: TracedModel["symbols"],
): Omit<ArtifactEntry, "launches"> {
  const fewer = symbols.filter(({ name, max }) => all.some((s) => s.name === name && s.max > max))
  return {
    ...(needs.length === 0 ? {} : { needs }),
    ...(fewer.length === 0 ? {} : { most: Object.fromEntries(fewer.map(({ name, max }) => [name, max])) }),
    ...(variantOf === undefined ? {} : { variantOf }),
  }
}

function constantBytes(values: Float64Array, dtype: "f32" | "i32" | "u32" | "bool"): Uint8Array {
  const words =
    dtype === "f32" ? Float32Array.from(values) : dtype === "i32" ? Int32Array.from(values) : Uint32Array.from(values)
  return new Uint8Array(words.buffer)
}

const base64 = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64")
