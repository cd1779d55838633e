/**
 * weft explain: a model's file and a config to facts, and to a page that shows how its kernels came to be.
 *
 *     const { explanation, page } = await explain("model.ts", config, "webgpu", { subject: "tiny", seq: 512, past: 1024 })
 *
 * All entry points are compiled, as for use; `step` and `prefill` are shown, or the one of a program.
 */
import type { ArtifactTarget } from "../../runtime/artifact.js"
import { memoryOf } from "../../runtime/memory.js"
import { type CompileModelOptions, compileFile } from "../compile-file.js"
import type { DeviceRecord } from "./devices.js"
import type { Facts, Sizes } from "./facts.js"
import { compilationCosts, type EntryCost, type KernelCost } from "./kernels.js"
import { explainPage } from "./page/page.js"
import { type Explanation, viewOf } from "./view.js"

export interface ExplainOptions extends CompileModelOptions {
  /** What is compiled, for the heading: a config's or a checkpoint's name. */
  readonly subject?: string | undefined
  /** Tokens of the prompt that a prefill takes at once. */
  readonly seq: number
  /** Tokens before the step. */
  readonly past: number
  readonly device?: DeviceRecord | undefined
  /** Microseconds of one launch, by the kernel's name. */
  readonly measured?: ReadonlyMap<string, number> | undefined
}

/** What is printed as JSON: the facts, each entry and each kernel with its costs, and what it took to find them. */
export interface ExplainedFacts extends MeasuredFacts {
  readonly entries: Readonly<Record<string, EntryCost>>
  readonly kernels: readonly KernelCost[]
}

/** The facts with what it took to find them. */
export interface MeasuredFacts extends Facts {
  /** From the model's file to all kernels and the plan. */
  readonly compileSeconds: number
  /** The most that the process has held so far. */
  readonly peakRssBytes: number
}

export interface Explained {
  readonly facts: ExplainedFacts
  readonly explanation: Explanation
  readonly page: () => string
}

/** @throws what `compile` throws */
export async function explain(
  modelFile: string,
  config: Readonly<Record<string, unknown>>,
  target: ArtifactTarget,
  options: ExplainOptions,
): Promise<Explained> {
  const { subject, seq, past, device, measured, ...compiling } = options
  const adapter = compiling.adapter ?? (target === "wasm" ? undefined : device?.adapter)
  const start = performance.now()
  const file = await compileFile(modelFile, config, target, { ...compiling, adapter, chunk: seq })
  const compileSeconds = (performance.now() - start) / 1000
  const peakRssBytes = process.resourceUsage().maxRSS * 1024

  const { artifact, traced } = file.compilation
  const sizesOf = (entry: string): Sizes =>
    artifact.model === undefined
      ? new Map(traced.symbols.map((s) => [s.name, s.max]))
      : entry === "step"
        ? sizes(past, 1)
        : sizes(0, Math.min(seq, artifact.model.chunk, artifact.entries[entry]?.most?.seq ?? seq))
  const shown = artifact.model === undefined ? Object.keys(artifact.entries).slice(0, 1) : ["step", "prefill"]
  const costs = compilationCosts(file.compilation, sizesOf, device, measured)
  const explanation = viewOf(
    file,
    shown.map((name) => ({ name, sizes: sizesOf(name) })),
    costs.kernels,
  )
  const facts = { ...explanation.facts, compileSeconds, peakRssBytes, ...costs }
  const memory = memoryOf(artifact)
  return {
    facts,
    explanation,
    page: () => explainPage(explanation, { ...options, data: facts, memory, compileSeconds, peakRssBytes }),
  }
}

const sizes = (past: number, seq: number) =>
  new Map([
    ["past", past],
    ["seq", seq],
  ])
