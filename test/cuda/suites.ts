/**
 * What is claimed of CUDA on a card: conformance, goldens in both precisions, tales, ends of generations with steps ahead, early starts that
 * are delayed, faults.
 *
 *     await cardSuites({ open: createCudaDevice, artifactOf: makeArtifact })
 */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import fc from "fast-check"
import { afterAll, describe, expect, test } from "vitest"
import type { LoopKernel } from "../../compiler/ir/loop.js"
import { lacking } from "../../compiler/targets/cuda/operations.js"
import { cudaTarget } from "../../compiler/targets/target.js"
import type { Artifact } from "../../runtime/artifact.js"
import type { CudaDevice, CudaDeviceOptions } from "../../runtime/devices/cuda/device.js"
import { WeftError } from "../../runtime/errors.js"
import { createGenerator, type GenerativeModel } from "../../runtime/generate/generator.js"
import { openCheckpoint } from "../../runtime/weights/folder.js"
import { conformance } from "../devices/conformance.js"
import { checkEndings } from "../generate/endings.js"
import { checkExact, checkExactLong, checkFast, checkFastLong } from "../golden/checks.js"
import { deviceCases, type Job, jobsOf, runJobs, symbolOrder } from "../laws/jobs.js"
import { loadGolden, longGoldens, normalisedError } from "../support/goldens.js"
import { loadQuantized } from "../support/quantized-goldens.js"
import { logitsInPieces, openSession } from "../support/session.js"
import { batchesOf } from "../targets/operations.js"
import { failuresOn } from "../targets/operations-device.js"
import { type FaultReport, fault } from "./fault.js"
import { goldenArtifacts, quantizedArtifacts, statefulNames, tales } from "./names.js"
import { products } from "./products.js"

export interface Card {
  open(options?: CudaDeviceOptions): Promise<CudaDevice>
  artifactOf(name: string): Promise<Artifact>
  /** What another process tells of a fault. */
  faulted(): Promise<FaultReport>
}

export async function cardSuites(card: Card): Promise<void> {
  await conformance("cuda", card.open, (kernels, order) => cudaTarget.emit(kernels, order))
  operations(card)
  randomKernels(card)
  products(card.open)
  goldens(card)
  quantized(card)
  endings(card)
  onTales(card)
  faults(card)
}

function operations({ open }: Card): void {
  test("every operation on every dtype at every width gives on cuda what its table says", async () => {
    const device = await open()
    const batches = batchesOf(lacking)
    const kernels = batches.map((b) => b.kernel)
    const failures = await failuresOn(device, batches, cudaTarget.emit(kernels, []))
    expect([...failures].map(([key, problems]) => `${key}: ${problems[0]}`)).toEqual([])
    device.dispose()
  })
}

/** Kernels that reach a compiler at a time. */
const kernelsAtOnce = 20

/** The same ones each time: their binaries were made where the compiler is. */
function randomKernels({ open }: Card): void {
  const emit = (loops: readonly LoopKernel[]) => cudaTarget.emit(loops, symbolOrder)
  const fits = ({ loops }: Job) => {
    try {
      emit([loops])
      return true
    } catch (error) {
      if (error instanceof WeftError) return false
      throw error
    }
  }
  test("what random kernels store on cuda is what the interpreter stores", async () => {
    const device = await open()
    const jobs = fc.sample(deviceCases, { seed: 7, numRuns: 60 }).flatMap((c) => jobsOf(c, cudaTarget).filter(fits))
    const problems: (string | undefined)[] = []
    for (let from = 0; from < jobs.length; from += kernelsAtOnce)
      problems.push(...(await runJobs(device, jobs.slice(from, from + kernelsAtOnce), emit)))
    console.log(`${jobs.length} kernels`)
    expect(jobs.length).toBeGreaterThan(60)
    expect(problems.filter((p) => p !== undefined)).toEqual([])
    device.dispose()
  })
}

function goldens({ open, artifactOf }: Card): void {
  describe("goldens on cuda", () => {
    test.each(goldenArtifacts)("%s", async (title) => {
      const [, name, precision] = title.split(" ") as [string, string, string]
      const golden = await loadGolden(name)
      const long = longGoldens.find((l) => l.name === name)
      try {
        // With delays, what starts too early reads what is not there yet.
        for (const options of [{}, { delay: 5 }]) {
          const device = await open(options)
          const session = await openSession({ artifact: await artifactOf(title) }, device, golden.checkpoint)
          if (precision === "exact")
            await (long === undefined ? checkExact(session, golden) : checkExactLong(session, golden, long.from))
          else await (long === undefined ? checkFast(session, golden) : checkFastLong(session, golden, long.from))
          session.dispose()
          device.dispose()
        }
      } finally {
        await golden.checkpoint.close()
      }
    })
  })
}

function quantized({ open, artifactOf }: Card): void {
  describe("quantized files on cuda", () => {
    test.each(quantizedArtifacts)("%s", async (title) => {
      const { checkpoint, ids, logits } = await loadQuantized(title.slice("quantized ".length))
      try {
        const device = await open()
        const session = await openSession({ artifact: await artifactOf(title) }, device, checkpoint)
        for (const pieces of [[12], [1, 7, 4]])
          expect(
            normalisedError(await logitsInPieces(session, ids, pieces), logits),
            `pieces of ${pieces}`,
          ).toBeLessThan(1e-8)
        session.dispose()
        device.dispose()
      } finally {
        await checkpoint.close()
      }
    })
  })
}

function endings({ open, artifactOf }: Card): void {
  const drawn = { temperature: 1, seed: 3 }
  test.each(statefulNames)("an end at any position, with steps ahead, leaves nothing on cuda: %s", async (name) => {
    const device = await open()
    const ways = [{ temperature: 0 }, drawn, { ...drawn, topK: 4, topP: 0.9 }]
    await checkEndings(await artifactOf(name), device, ways, [1, 2, 8], 9)
    device.dispose()
  })
}

interface TalesCase {
  readonly prompt_ids: readonly number[]
  readonly greedy: readonly number[]
}
const casesOfTales = (): readonly TalesCase[] => JSON.parse(readFileSync(join(tales, "golden.json"), "utf8")).cases

function onTales({ open, artifactOf }: Card): void {
  const models = new Map<string, { readonly model: GenerativeModel; readonly device: CudaDevice }>()
  const cases = casesOfTales()
  const modelOf = async (precision: string, options: CudaDeviceOptions) => {
    const key = `${precision} ${options.delay}`
    const known = models.get(key)
    if (known !== undefined) return known.model
    const device = await open(options)
    const checkpoint = await openCheckpoint(tales)
    const session = await openSession({ artifact: await artifactOf(`tales ${precision}`) }, device, checkpoint)
    await checkpoint.close()
    const model = createGenerator(session)
    models.set(key, { model, device })
    return model
  }
  describe("tales on cuda", () => {
    afterAll(() => {
      for (const { model, device } of models.values()) {
        model.dispose()
        device.dispose()
      }
    })
    test.each(cases.map((c, i) => [i, c] as const))(
      "64 greedy tokens of prompt %i",
      async (_, { prompt_ids, greedy }) => {
        const model = await modelOf("exact", {})
        const { tokens } = await model.generate(prompt_ids as number[], {
          maxTokens: 64,
          temperature: 0,
          ignoreEos: true,
        })
        expect(tokens).toEqual(greedy)
      },
    )

    const drawn = { temperature: 0.9, topK: 40, topP: 0.9, minP: 0, seed: 5 }
    test.each(["exact", "fast"])("delays before each kernel change no bit: %s", async (precision) => {
      const [plain, delayed] = [await modelOf(precision, {}), await modelOf(precision, { delay: 5 })]
      const ids = cases[0]!.prompt_ids as number[]
      const bits = async (model: GenerativeModel) => new Int32Array((await model.logits(ids)).data.buffer)
      expect(await bits(delayed)).toEqual(await bits(plain))
      for (const options of [{ temperature: 0 }, { temperature: 0.9, seed: 5, topK: 0, topP: 1 }, drawn]) {
        const tokens = async (model: GenerativeModel) =>
          (await model.generate(ids, { ...options, maxTokens: 40, ignoreEos: true })).tokens
        expect(await tokens(delayed)).toEqual(await tokens(plain))
      }
    })

    test("the same again, eight steps ahead or none, whatever came before", async () => {
      const model = await modelOf("fast", {})
      const one = createGenerator({
        ...model.session,
        device: Object.create(model.session.device, { ahead: { value: 1 } }),
        dispose: () => {},
      })
      const ids = cases[1]!.prompt_ids as number[]
      for (const options of [{ temperature: 0 }, drawn]) {
        const wanted = (await one.generate(ids, { ...options, maxTokens: 50, ignoreEos: true })).tokens
        let seen = 0
        for await (const _ of model.generate(ids, { ...options, maxTokens: 50 })) if (++seen === 7) break
        expect((await model.generate(ids, { ...options, maxTokens: 50, ignoreEos: true })).tokens).toEqual(wanted)
      }
    })
  })
}

/** Starts early and reads before it waits. */
const hasty = {
  ...fault,
  name: "hasty",
  symbol: "hasty",
  source: `extern "C" __global__ void hasty(int* x, const int* symbols) {
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
  const int before = *(volatile int*)x;
  asm volatile("griddepcontrol.wait;" ::: "memory");
  if (threadIdx.x == 0) *x = before + 1;
}`,
  bindings: [{ access: "readwrite" as const }],
  early: true as const,
}

function faults({ open, faulted }: Card): void {
  describe("faults on cuda", () => {
    test("delays find a kernel that reads before it waits", async () => {
      const count = async (options: CudaDeviceOptions) => {
        const device = await open(options)
        const [kernel] = await device.compile({ kernels: [hasty], prelude: "" }, 1)
        const x = device.allocate(4, "x")
        const command = { kernel: kernel!, buffers: [x], groups: 1 }
        device.submit([device.record(Array.from({ length: 20 }, () => command))], Int32Array.of(0))
        const bytes = await device.read(x, 0, 4)
        device.dispose()
        return new Int32Array(bytes.buffer, bytes.byteOffset, 1)[0]!
      }
      expect(await count({ delay: 50 })).toBeLessThan(20)
    })

    test("more than there is: refused with both numbers, and the device goes on", async () => {
      const device = await open()
      const wanted = device.limits.memoryBytes! + 2 ** 30
      expect(() => device.allocate(wanted, "too much")).toThrow(
        /'too much' needs \d+ bytes; \d+ of the device's \d+ are free/,
      )
      expect(await device.read(device.allocate(4, "x"), 0, 4)).toEqual(new Uint8Array(4))
      device.dispose()
    })

    test("a write beyond all memory: the device is lost, and its process has no other", async () => {
      const { read, lost, upload, another } = await faulted()
      expect(read).toMatchObject({ code: "device/lost" })
      // Which of the two may hang on where the buffer lies: what is beyond it may be nothing, or the window of shared or local memory.
      expect(lost).toMatch(/CUDA_ERROR_(ILLEGAL_ADDRESS \(700\)|INVALID_ADDRESS_SPACE \(717\)),/)
      expect(upload.message).toMatch("the device was lost")
      expect(another).toMatchObject({ code: "device/lost" })
      expect(another.hint).toMatch(/start a new process/)
    })
  })
}
