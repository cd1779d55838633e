/**
 * What the kernels of models cost on hardware, by count: in every entry at most a quarter more operations than are needed, and no kernel whose time,
 * estimated from the lanes, steps and bytes of its loops for an H100, is far above what its bytes and operations take.
 *
 * Kernels that fail this are known by shape and entry, with their number. A number that has become too large fails as one that is too small:
 * what has been mended leaves the list. Contractions over rows that data have chosen are left out where rows are many.
 */
import { beforeAll, describe, expect, test } from "vitest"
import { type Compilation, compileProgram } from "../../compiler/compile.js"
import { devices } from "../../compiler/explain/devices.js"
import { compilationCosts, isSlow, type KernelCost } from "../../compiler/explain/kernels.js"
import { nodesOf } from "../../compiler/ir/query.js"
import { configNames } from "../support/configs.js"
import { known } from "./known.js"
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

/** Whether it folds over rows of a buffer that are found by what another holds. */
function foldsGathered({ kernels }: Compilation, kernel: number): boolean {
  const values = kernels[kernel]!.kernel.items.map((item) => item.value)
  const loads = nodesOf(
    nodesOf(values, "reduce").flatMap((r) => r.lift),
    "load",
  )
  return loads.some((load) => nodesOf(load.index, "load").length > 0)
}

const line = (k: KernelCost) =>
  `${k.name}: ${k.estimatedMicroseconds!.toFixed(1)} µs where ${k.floorMicroseconds!.toFixed(1)} are needed: ${k.why.join("; ")}`

describe.each(shapes)("%s", (shape) => {
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
    const slow = costs.kernels.filter((k) => isSlow(k) && !(k.entry !== "step" && foldsGathered(compilation, k.kernel)))
    const entries = Object.keys(costs.entries)
    const count = Object.fromEntries(entries.map((entry) => [entry, slow.filter((k) => k.entry === entry).length]))
    const wanted = Object.fromEntries(entries.map((entry) => [entry, known[shape]?.slow[entry] ?? 0]))
    expect(count, `now slow:\n${slow.map((k) => `${k.entry} ${line(k)}`).join("\n")}`).toEqual(wanted)
  })

  if (configNames.some((name) => name === shape)) claimsOfStep(shape, () => compilation)

  test("no entry computes more than a quarter above what is needed", () => {
    const above = Object.entries(costs.entries).flatMap(([name, e]) =>
      e.operations > 1.25 * e.unfusedOperations ? [name] : [],
    )
    const factors = Object.entries(costs.entries).map(
      ([n, e]) => `${n} ${(e.operations / e.unfusedOperations).toFixed(2)}`,
    )
    expect(above, factors.join(", ")).toEqual(known[shape]?.repeats ?? [])
  })
})
