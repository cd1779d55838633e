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
import { createGenerator, type GenerativeModel } from "../../runtime/generate/generator.js"
import type { GenerateOptions } from "../../runtime/generate/options.js"
import { createSession } from "../../runtime/session.js"
import { runs, seed } from "../laws/settings.js"
import { present } from "./model.js"
import type * as Models from "./stateful-model.js"

const [context, vocab] = [24, 7]
const head = Float32Array.from({ length: vocab * 4 }, (_, i) => Math.sin(i + 1))
/** Rows of the last token are no numbers. */
const weights: Readonly<Record<string, Float32Array>> = {
  head,
  table: head.map((x, i) => (i < head.length - 4 ? x : Number.NaN)),
}

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

/** A model on a device that is said to have `ahead` submits under way. */
async function open(artifact: Artifact, device: Device, ahead = 1): Promise<GenerativeModel> {
  const read = async ({ tensor }: { readonly tensor: string }, at: number, length: number) =>
    new Uint8Array(weights[tensor]!.buffer as ArrayBuffer, at, length)
  const session = await createSession(artifact, device, { read })
  return createGenerator({ ...session, device: Object.create(device, { ahead: { value: ahead } }) })
}

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
  const [used, fresh] = [await open(artifact, device, ahead), await open(artifact, device)]
  for (const call of before) await outcome(used, call)
  expect(await outcome(used, last)).toEqual(await outcome(fresh, last))
  used.dispose()
  fresh.dispose()
}

/** The tokens that a reader has seen who ends a generation at one of them. */
async function endAt(model: GenerativeModel, position: number, kind: "break" | "abort", options: GenerateOptions) {
  const controller = new AbortController()
  const seen: number[] = []
  for await (const { tokens } of model.generate([1, 2], { ...options, maxTokens: 20, signal: controller.signal })) {
    seen.push(...tokens)
    if (seen.length < position) continue
    if (kind === "break") break
    controller.abort()
  }
  return seen
}

for (const name of ["wasm", "webgpu"] as const) {
  const here = await present(name)
  // A software adapter takes seconds for the kernels of a model.
  const pool = name === "wasm" ? 8 : 1
  describe.skipIf(!here)(`a sequence begins with states at their first value, ${name}`, () => {
    test("each kind of state, called twice", async () => {
      const { device } = await chooseDevice(name, 1)
      const artifact = compiled(["total", "last", "several", "cache", "inside", "sparse"], device.kind)
      const [model, fresh] = [await open(artifact, device), await open(artifact, device)]
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
    const layers: readonly Layers[] = name === "wasm" ? [["total"], ["inside", "cache"]] : [["total"]]
    test.each(layers.map((l) => [l] as const))(
      "an end at any position, with steps ahead, leaves nothing: %j",
      async (l) => {
        const { device } = await chooseDevice(name, 1)
        const artifact = compiled(l, device.kind)
        const fresh = await open(artifact, device)
        const drawn = { temperature: 1, seed: 3 }
        const ways = name === "wasm" ? [{ temperature: 0 }, drawn, { ...drawn, topK: 4, topP: 0.9 }] : [drawn]
        for (const options of ways) {
          const whole = { ...options, maxTokens: name === "wasm" ? 9 : 4 }
          const wanted = (await fresh.generate([1, 2], whole)).tokens
          for (const ahead of name === "wasm" ? [2, 3] : [2]) {
            const used = await open(artifact, device, ahead)
            for (let position = 1; position <= wanted.length; position++)
              for (const kind of ["break", "abort"] as const) {
                const seen = await endAt(used, position, kind, options)
                // One token more may have been on its way to the reader.
                expect(seen.length - position, `${kind} at ${position}`).toBeLessThanOrEqual(1)
                expect(seen.slice(0, position)).toEqual(wanted.slice(0, position))
                expect((await used.generate([1, 2], whole)).tokens).toEqual(wanted)
              }
            used.dispose()
          }
        }
        fresh.dispose()
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
          fc.integer({ min: 1, max: 3 }),
          (b, c, ahead) => holds(artifact, device, b, c, ahead),
        )
        await fc.assert(property, { seed, numRuns: 12 })
      }
      device.dispose()
    })
  })
}
