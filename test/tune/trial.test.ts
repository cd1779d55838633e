/** Trials of kernels on a CUDA device in memory, whose kernels are interpreted: they run as an entry's launches do, and nothing of them stays. */
import { beforeAll, describe, expect, test } from "vitest"
import { createBed } from "../../cli/tune/bed.js"
import { search } from "../../cli/tune/search.js"
import { measureShares } from "../../cli/tune/shares.js"
import { sizesOf } from "../../cli/tune/sizes.js"
import { createTrial } from "../../cli/tune/trial.js"
import { type Compilation, compileProgram } from "../../compiler/compile.js"
import { loadModel } from "../../compiler/frontend/load.js"
import { choices, loopsFor } from "../../compiler/internal.js"
import type { LoopKernel } from "../../compiler/ir/loop.js"
import { everyStatement } from "../../compiler/ir/loop-visit.js"
import { printLoop } from "../../compiler/ir/print/loop.js"
import { targetFor } from "../../compiler/targets/target.js"
import { isRefusal } from "../../compiler/tile/tile.js"
import { openCudaDevice } from "../../runtime/devices/cuda/device.js"
import type { KernelCode } from "../../runtime/devices/device.js"
import { interpreted, left } from "../devices/cuda-fake.js"
import type * as Models from "../generate/stateful-model.js"
import { fakeDriver, imageOf } from "../support/cuda-driver.js"

let compiled: (target: "cuda" | "webgpu" | "wasm") => Compilation
beforeAll(async () => {
  const models = (await loadModel("test/generate/stateful-model.ts")).module as typeof Models
  const program = models.model.configure({ context: 16, vocab: 40, layers: ["total", "cache"] })
  const adapter = { subgroupSize: 32 }
  const made = new Map<string, Compilation>()
  const compile = (target: "cuda" | "webgpu" | "wasm") =>
    compileProgram(program, "stateful", { target, adapter, chunk: 4, storage: () => "f32" })
  compiled = (target) => {
    const known = made.get(target) ?? compile(target)
    made.set(target, known)
    return known
  }
})

/** A device on which what is compiled next is `loops`, by their functions' names. */
function fake(loops: Map<string, LoopKernel>, order: readonly string[]) {
  const driver = fakeDriver()
  const codes: KernelCode[] = []
  const load = async (code: KernelCode) => {
    codes.push(code)
    const symbols = code.kernels.map((k) => k.symbol!)
    for (const s of symbols) driver.kernels.set(s, interpreted(loops.get(s)!, order))
    // No two binaries are the same.
    return [{ image: imageOf([...symbols, String(codes.length)]), kernels: [...code.kernels.keys()], early: true }]
  }
  return { driver, codes, device: openCudaDevice(driver, load) }
}

describe.each(["cuda", "webgpu", "wasm"] as const)("on %s", (name) => {
  test("the schedule of a compilation gives the loops that it emits", () => {
    const { kernels, within } = compiled(name)
    const target = targetFor(name, { subgroupSize: 32 })
    within(() => {
      for (const kernel of kernels) {
        const loops = loopsFor(kernel.kernel, kernel.schedule, target, kernel)
        expect(isRefusal(loops) ? loops.why : printLoop({ ...loops, name: kernel.loops.name })).toBe(
          printLoop(kernel.loops),
        )
        const awaits = everyStatement(kernel.loops.body).some((s) => s.kind === "await")
        expect(awaits).toBe(name === "cuda")
      }
      expect(kernels.some((k) => k.loops.buffers.some((b) => b.steady === true))).toBe(name === "cuda")
    })
  })
})

test("kernels are measured at sizes that a session would let a run have", () => {
  const { artifact, kernels } = compiled("cuda")
  const sizes = sizesOf({ artifact, kernels })
  expect([...sizes]).toEqual(expect.arrayContaining([["past", 8]]))
  const entries = {
    step: { launches: [], needs: [{ extent: [{ factor: 1, symbols: ["past"] }], least: 99, text: "" }] },
  }
  // Nothing helps where there is too little.
  expect(sizesOf({ artifact: { ...artifact, entries }, kernels }).get("past")).toBe(16)
})

test("trials are launched as entries are, keep no binaries, and leave nothing", async () => {
  const compilation = compiled("cuda")
  const { artifact, kernels, within } = compilation
  const order = artifact.symbols.map((s) => s.name)
  const all = new Map(artifact.kernels.map((k, i) => [k.symbol!, kernels[i]!.loops] as const))
  const { driver, codes, device } = fake(all, order)
  const bed = await createBed(compilation, device)
  const shares = await measureShares(bed, compilation, ["step", "greedy"], () => {})
  expect(shares.kernels.reduce((n, k) => n + k.share, 0)).toBeCloseTo(2)
  expect(shares.kernels[0]!.microseconds).toBeGreaterThan(0)
  const { kernel: number, entry, launch } = shares.kernels[0]!
  const { launches } = artifact.entries[entry]!
  const target = targetFor("cuda")
  const known = kernels[number]!
  const before = Object.fromEntries(driver.live)
  const inputs = await bed.inputsOf(entry, launch)
  const trial = createTrial(bed, {
    kernel: known.kernel,
    launch: launches[launch]!,
    inputs,
    artifact,
    target,
    launches: 5,
  })
  const { schedules } = within(() => choices(known.kernel, target, { most: 12, tries: 40 }))
  const realise = (s: (typeof schedules)[number]) => {
    const loops = within(() => loopsFor(known.kernel, s, target, known))
    if (!isRefusal(loops)) all.set("trial", loops)
    return loops
  }
  const result = await search(trial, { schedules, realise, until: performance.now() + 60_000 })
  expect(result.problems).toEqual([])
  expect(result.tried).toBeGreaterThan(2)
  expect(codes.slice(1).map((c) => c.isTrial)).toEqual(Array(result.tried).fill(true))
  const samples = driver.graphs.filter((g) => g.length === 5)
  expect(samples).toHaveLength(result.tried)
  for (const g of samples) expect(g.map((l) => l.early)).toEqual([false, true, true, true, true])
  expect(driver.live.get("module")! - before.module!).toBeLessThanOrEqual(5)
  trial.dispose()
  expect(driver.live.get("module")).toBe(before.module)
  bed.dispose()
  device.dispose()
  expect(await left(driver)).toEqual({})
})
