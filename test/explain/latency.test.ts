/**
 * What the kernels of models cost on hardware, by count: in every entry at most a quarter more operations than are needed, and no kernel whose time,
 * estimated from the lanes, steps and bytes of its loops for an H100, is far above what its bytes and operations take.
 *
 * Kernels that fail this are known by shape, entry and kind, with their number. A number that has become too large fails as one that is too small:
 * what has been mended leaves the list, and no other kernel hides in it. Contractions over rows that data have chosen are left out where rows are many.
 */
import { beforeAll, describe, expect, test } from "vitest"
import { type Compilation, compileProgram } from "../../compiler/compile.js"
import { devices } from "../../compiler/explain/devices.js"
import { compilationCosts, isSlow, type KernelCost } from "../../compiler/explain/kernels.js"
import { nodesOf, outermostFolds } from "../../compiler/ir/query.js"
import { long, seed } from "../laws/settings.js"
import { configNames } from "../support/configs.js"
import { type Kind, known } from "./known.js"
import { configured, entriesOf, shapes } from "./shapes.js"
import { claimsOfStep } from "./step-claims.js"

const device = devices["nvidia-h100"]!
const sizes = (entry: string) =>
  new Map(
    entry === "step"
      ? [
          ["past", 1024],
          ["seq", 1],
        ]
      : [
          ["past", 0],
          ["seq", 512],
        ],
  )

/** Entries of many rows. */
const ofRows = new Set(["prefill", "logits"])

/** Whether it folds over rows of a buffer that are found by what another holds, or what a block has found. */
function foldsGathered({ kernels }: Compilation, kernel: number): boolean {
  const values = kernels[kernel]!.kernel.items.map((item) => item.value)
  const loads = nodesOf(
    nodesOf(values, "reduce").flatMap((r) => r.lift),
    "load",
  )
  return loads.some((load) => nodesOf(load.index, "load", "localRead").length > 0)
}

/** What a kernel does most: from its folds, and from whether workgroups take them in chunks. */
function kindOf({ kernels }: Compilation, at: number): Kind {
  const { kernel, schedule } = kernels[at]!
  const folds = kernel.items.flatMap((i) => (i.kind === "store" ? outermostFolds(i.value) : []))
  if (folds.some((r) => r.monoid.kind === "online")) return "online fold"
  const chunked = schedule.stores.some((s) => Object.values(s.reduce).some((r) => r.chunk !== undefined))
  return chunked && folds.every((r) => r.monoid.kind === "sum") ? "product" : "other"
}

const line = (k: KernelCost) =>
  `${k.name}: ${k.estimatedMicroseconds!.toFixed(1)} µs where ${k.floorMicroseconds!.toFixed(1)} are needed: ${k.why.join("; ")}`

/** The one of experts, and of the others every third by the seed of the run; all in long ones. */
const some = shapes.filter((shape, i) => long || shape === "qwen3-30b-a3b" || i % 3 === seed % 3)

describe.each(some)("%s", (shape) => {
  let compilation: Compilation
  let costs: ReturnType<typeof compilationCosts>
  beforeAll(async () => {
    const program = await configured(shape)
    compilation = compileProgram(program, "model", {
      target: "webgpu",
      storage: () => "bf16",
      adapter: device.adapter,
      chunk: 512,
      ...(entriesOf(shape) && { entries: entriesOf(shape)! }),
    })
    costs = compilationCosts(compilation, sizes, device)
  })

  test("no kernel takes far longer than its bytes and operations", () => {
    const slow = costs.kernels.filter(
      (k) => isSlow(k) && !(ofRows.has(k.entry) && foldsGathered(compilation, k.kernel)),
    )
    const entries = Object.keys(costs.entries)
    const count: Record<string, Partial<Record<Kind, number>>> = Object.fromEntries(entries.map((e) => [e, {}]))
    for (const k of slow) {
      const kind = kindOf(compilation, k.kernel)
      count[k.entry]![kind] = (count[k.entry]![kind] ?? 0) + 1
    }
    const wanted = Object.fromEntries(entries.map((entry) => [entry, known[shape]?.[entry] ?? {}]))
    expect(count, `now slow:\n${slow.map((k) => `${k.entry} ${line(k)}`).join("\n")}`).toEqual(wanted)
  })

  if (configNames.some((name) => name === shape)) claimsOfStep(shape, () => compilation)

  test.skipIf(entriesOf(shape) !== undefined)("a draw is few kernels, for each waits for the one before", () => {
    const { sample, draw } = costs.entries
    expect(sample!.launches).toBeLessThanOrEqual(15)
    expect(sample!.estimatedMicroseconds).toBeLessThanOrEqual(60)
    expect(draw!.launches).toBeLessThanOrEqual(6)
  })

  test("no entry computes more than a quarter above what is needed", () => {
    const above = Object.entries(costs.entries).flatMap(([name, e]) =>
      e.operations > 1.25 * e.unfusedOperations ? [name] : [],
    )
    const factors = Object.entries(costs.entries).map(
      ([n, e]) => `${n} ${(e.operations / e.unfusedOperations).toFixed(2)}`,
    )
    expect(above, factors.join(", ")).toEqual([])
  })
})
