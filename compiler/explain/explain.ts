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
import type { Facts } from "./facts.js"
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

/** The facts with what it took to find them. */
export interface MeasuredFacts extends Facts {
  /** From the model's file to all kernels and the plan. */
  readonly compileSeconds: number
  /** The most that the process has held so far. */
  readonly peakRssBytes: number
}

export interface Explained {
  readonly facts: MeasuredFacts
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
  const { seq, past, device } = options
  const adapter = options.adapter ?? (target === "webgpu" ? device?.adapter : undefined)
  const start = performance.now()
  const file = await compileFile(modelFile, config, target, { ...options, adapter, chunk: seq })
  const compileSeconds = (performance.now() - start) / 1000
  const peakRssBytes = process.resourceUsage().maxRSS * 1024

  const { artifact, traced } = file.compilation
  const entries =
    artifact.model === undefined
      ? [{ name: Object.keys(artifact.entries)[0]!, sizes: new Map(traced.symbols.map((s) => [s.name, s.max])) }]
      : [
          { name: "step", sizes: sizes(past, 1) },
          { name: "prefill", sizes: sizes(0, Math.min(seq, artifact.model.chunk)) },
        ]
  const explanation = viewOf(file, entries)
  const facts = { ...explanation.facts, compileSeconds, peakRssBytes }
  const memory = memoryOf(artifact)
  return {
    facts,
    explanation,
    page: () => explainPage(explanation, { ...options, memory, compileSeconds, peakRssBytes }),
  }
}

const sizes = (past: number, seq: number) =>
  new Map([
    ["past", past],
    ["seq", seq],
  ])
