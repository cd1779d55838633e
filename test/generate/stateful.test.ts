/**
 * Law: whatever a loaded model was asked before, the next call gives what a fresh model gives, bit for bit.
 *
 * Models have states of every kind in random order; what came before are calls of every kind that ended in every way.
 */
import fc from "fast-check"
import { beforeAll, describe, expect, test } from "vitest"
import { chooseDevice } from "../../cli/device.js"
import { compileProgram } from "../../compiler/compile.js"
import { loadModel } from "../../compiler/frontend/load.js"
import type { Artifact, Precision } from "../../runtime/artifact.js"
import type { Device } from "../../runtime/devices/device.js"
import { WeftError } from "../../runtime/errors.js"
import type { GenerativeModel } from "../../runtime/generate/generator.js"
import { long, runs, seed } from "../laws/settings.js"
import { checkEndings, context, openStateful, vocab } from "./endings.js"
import { present } from "./model.js"
import type * as Models from "./stateful-model.js"

let models: typeof Models
beforeAll(async () => {
  models = (await loadModel("test/generate/stateful-model.ts")).module as typeof Models
})

type Layers = readonly (typeof Models.kinds)[number][]
const compiled = (layers: Layers, target: Device["kind"], precision: Precision = "exact"): Artifact =>
  compileProgram(models.model.configure({ context, vocab, layers }), "stateful", {
    target,
    precision,
    chunk: 5,
    storage: () => "f32",
  }).artifact

/** Something that a caller does; `last` is the whole of it. */
interface Call {
  readonly kind: "logits" | "generate" | "break" | "abort" | "throw"
  readonly ids: readonly number[]
  readonly count: number
  readonly temperature: number
}
const calls = (tokens: number): fc.Arbitrary<Call> =>
  fc.record({
    kind: fc.constantFrom("logits", "generate", "break", "abort", "throw"),
    ids: fc.array(fc.nat(tokens - 1), { minLength: 1, maxLength: 12 }),
    count: fc.integer({ min: 1, max: 8 }),
    temperature: fc.constantFrom(0, 1),
  })

async function perform(model: GenerativeModel, { kind, ids, count, temperature }: Call): Promise<unknown> {
  if (kind === "logits") return [...new Int32Array((await model.logits(ids)).data.buffer)]
  const controller = new AbortController()
  const options = { temperature, seed: 3, maxTokens: count, signal: controller.signal }
  const generation = model.generate(ids, kind === "generate" ? options : { ...options, maxTokens: 20 })
  if (kind === "generate") return (await generation).tokens
  let seen = 0
  for await (const _ of generation) {
    if (++seen < count) continue
    if (kind === "break") break
    if (kind === "throw") throw new WeftError("test/thrown", "by the reader")
    controller.abort()
  }
  return seen
}
/** Logits that are no numbers, and a reader that throws, end a call, and the model goes on. */
const outcome = (model: GenerativeModel, call: Call): Promise<unknown> =>
  perform(model, call).catch((error: unknown) => {
    if (error instanceof WeftError && /^(generate\/non-finite|test\/thrown)$/.test(error.code)) return error.code
    throw error
  })

async function holds(artifact: Artifact, device: Device, before: readonly Call[], last: Call, ahead: number) {
  const [used, fresh] = [await openStateful(artifact, device, ahead), await openStateful(artifact, device)]
  for (const call of before) await outcome(used, call)
  expect(await outcome(used, last)).toEqual(await outcome(fresh, last))
  used.dispose()
  fresh.dispose()
}

for (const name of ["wasm", "webgpu"] as const) {
  const here = await present(name)
  // A software adapter takes seconds for the kernels of a model.
  const pool = name === "wasm" ? 8 : 1
  describe.skipIf(!here)(`a sequence begins with states at their first value, ${name}`, () => {
    test("each kind of state, called twice", async () => {
      const { device } = await chooseDevice(name, 1)
      const artifact = compiled(["total", "last", "several", "cache", "inside", "sparse", "window"], device.kind)
      const [model, fresh] = [await openStateful(artifact, device), await openStateful(artifact, device)]
      const first = await model.logits([1, 2, 3])
      expect(await model.logits([1, 2, 3])).toEqual(first)
      const long = await fresh.logits([0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5])
      await model.generate([1, 2], { temperature: 0, maxTokens: 12 })
      expect(await model.logits([0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5])).toEqual(long)
      const { tokens } = await fresh.generate([1, 2], { temperature: 0, maxTokens: 5 })
      expect((await model.generate([1, 2], { temperature: 0, maxTokens: 5 })).tokens).toEqual(tokens)
      expect((await model.generate([1, 2], { temperature: 0, maxTokens: 5 })).tokens).toEqual(tokens)
      device.dispose()
    })

    // The first shows a state that was not cleared, the second a row that was put at another place.
    const kinds: readonly Layers[] = [["total"], ["inside", "cache"], ["window"]]
    const layers = name !== "wasm" ? kinds.slice(0, 1) : long ? kinds : [kinds[seed % 3]!]
    test.each(layers.map((l) => [l] as const))(
      "an end at any position, with steps ahead, leaves nothing: %j",
      async (l) => {
        const { device } = await chooseDevice(name, 1)
        const artifact = compiled(l, device.kind)
        const drawn = { temperature: 1, seed: 3 }
        if (name === "webgpu") await checkEndings(artifact, device, [drawn], [2], 4)
        else
          await checkEndings(
            artifact,
            device,
            [{ temperature: 0 }, drawn, { ...drawn, topK: 4, topP: 0.9 }],
            [2, 3, 8],
            9,
          )
        device.dispose()
      },
    )

    test(`after any calls, WEFT_SEED=${seed}`, async () => {
      const { device } = await chooseDevice(name, 1)
      const kinds = fc.array(fc.constantFrom(...models.kinds), { minLength: 1, maxLength: 4 })
      const shapes = fc.sample(fc.tuple(kinds, fc.constantFrom("exact", "fast")), { seed, numRuns: runs(pool) })
      for (const [layers, precision] of shapes) {
        const artifact = compiled(layers, device.kind, precision as Precision)
        const property = fc.asyncProperty(
          fc.array(calls(vocab), { minLength: 1, maxLength: 3 }),
          calls(vocab - 1),
          fc.constantFrom(1, 2, 3, 8),
          (b, c, ahead) => holds(artifact, device, b, c, ahead),
        )
        await fc.assert(property, { seed, numRuns: 12 })
      }
      device.dispose()
    })
  })
}
