/**
 * Law: a generation that is ended at any moment, in any way, changes nothing that follows; and it ends although the device does not come back.
 *
 * On WebAssembly, with reads that take a while.
 */
import fc from "fast-check"
import { afterAll, beforeAll, expect, test } from "vitest"
import { chooseDevice } from "../../cli/device.js"
import { compileProgram } from "../../compiler/compile.js"
import { loadModel } from "../../compiler/frontend/load.js"
import type { Model } from "../../dsl/index.js"
import type { Artifact } from "../../runtime/artifact.js"
import type { Device } from "../../runtime/devices/device.js"
import { createGenerator, type GenerativeModel } from "../../runtime/generate/generator.js"
import { createSession } from "../../runtime/session.js"
import { runs, seed } from "../laws/settings.js"
import { refusal } from "./model.js"

const [context, vocab] = [24, 7]
const weights = Float32Array.from({ length: vocab * 4 }, (_, i) => Math.sin(i + 1))
const layers = ["total", "cache", "several", "sparse"]

let artifact: Artifact
let device: Device
beforeAll(async () => {
  const { module } = await loadModel("test/generate/stateful-model.ts")
  const configured = (module.model as Model).configure({ context, vocab, layers })
  artifact = compileProgram(configured, "stateful", { target: "wasm", chunk: 5, storage: () => "f32" }).artifact
  device = (await chooseDevice("wasm", 1)).device
})
afterAll(() => device?.dispose())

/** A model whose reads of tokens come back when `until` resolves; so many steps are under way at a time. */
async function open(
  until: (read: number) => Promise<unknown> = () => Promise.resolve(),
  ahead = 1,
): Promise<GenerativeModel> {
  const read = async (_: unknown, at: number, length: number) => new Uint8Array(weights.buffer, at, length)
  const session = await createSession(artifact, device, { read })
  let reads = 0
  return createGenerator({
    ...session,
    device: Object.create(session.device, { ahead: { value: ahead } }),
    async read(buffer, bytes) {
      const found = await session.read(buffer, bytes)
      await until(reads++)
      return found
    },
  })
}
const turns = async (count: number) => {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve))
}
const never = new Promise<never>(() => {})

/** How and when a caller ends a generation. */
interface End {
  readonly how: "before" | "turn" | "part" | "break" | "throw" | "leave"
  readonly when: number
  readonly ids: readonly number[]
  readonly temperature: number
  /** A second call while the first is under way. */
  readonly second: boolean
}
const ends: fc.Arbitrary<End> = fc.record({
  how: fc.constantFrom("before", "turn", "part", "break", "throw", "leave"),
  when: fc.integer({ min: 1, max: 30 }),
  ids: fc.array(fc.nat(vocab - 1), { minLength: 1, maxLength: 12 }),
  temperature: fc.constantFrom(0, 1),
  second: fc.boolean(),
})

async function endOne(model: GenerativeModel, { how, when, ids, temperature, second }: End): Promise<void> {
  const controller = new AbortController()
  if (how === "before") controller.abort()
  const generation = model.generate(ids, { temperature, seed: 5, maxTokens: 12, signal: controller.signal })
  if (how === "turn" || how === "before") {
    const result = Promise.resolve(generation)
    await turns(when)
    controller.abort()
    if (second) await refusal(model.logits([1])).catch((error) => expect(error.message).toBe("nothing was refused"))
    expect((await result).finishReason).toMatch(/^(abort|length)$/)
    return
  }
  const iterator = generation[Symbol.asyncIterator]()
  if (how === "leave") {
    // The next part is asked for and not waited for.
    const asked = iterator.next()
    await turns(when % 5)
    await iterator.return?.()
    await asked
    return
  }
  const loop = async () => {
    let seen = 0
    for await (const _ of generation) {
      if (second) expect(await refusal(model.generate([1]))).toContain("generate/busy")
      if (++seen < when % 8) continue
      if (how === "part") controller.abort()
      else if (how === "break") break
      else throw new Error("by the reader")
    }
  }
  await loop().catch((error) => expect(error.message).toBe("by the reader"))
}

test(`an end at any moment changes nothing that follows, WEFT_SEED=${seed}`, async () => {
  const fresh = await open()
  const prompt = [1, 2, 3, 4, 5, 0, 1]
  const wanted = await fresh.generate(prompt, { temperature: 1, seed: 9, maxTokens: 10 })
  const logits = await fresh.logits(prompt)
  const delays = fc.array(fc.nat(6), { minLength: 1, maxLength: 5 })
  const several = fc.array(ends, { minLength: 1, maxLength: 3 })
  const property = fc.asyncProperty(several, delays, fc.integer({ min: 1, max: 3 }), async (before, delay, ahead) => {
    const model = await open((read) => turns(delay[read % delay.length]!), ahead)
    for (const end of before) await endOne(model, end)
    const found = await model.generate(prompt, { temperature: 1, seed: 9, maxTokens: 10 })
    expect(found.tokens).toEqual(wanted.tokens)
    expect(await model.logits(prompt)).toEqual(logits)
    model.dispose()
  })
  await fc.assert(property, { seed, numRuns: runs(25) })
})

test.each([0, 1, 2, 5])("a signal is heeded while read %i does not come back", async (stuck) => {
  let release: (value?: unknown) => void = () => {}
  const released = new Promise((resolve) => {
    release = resolve
  })
  const model = await open((read) => (read === stuck ? released : Promise.resolve()))
  const controller = new AbortController()
  const result = Promise.resolve(model.generate([1, 2, 3, 4, 5, 6, 0], { temperature: 0, signal: controller.signal }))
  await turns(40)
  controller.abort()
  expect((await result).finishReason).toBe("abort")
  // The next call waits for what is left, and is as any other then.
  const next = Promise.resolve(model.generate([1, 2, 3], { temperature: 0, maxTokens: 4 }))
  await turns(5)
  expect(await refusal(model.generate([1]))).toContain("generate/busy")
  release()
  const fresh = await open()
  expect((await next).tokens).toEqual((await fresh.generate([1, 2, 3], { temperature: 0, maxTokens: 4 })).tokens)
  model.dispose()
})

test("a reader that breaks off does not wait for the device", async () => {
  const model = await open((read) => (read === 2 ? never : Promise.resolve()))
  const iterator = model.generate([1], { temperature: 0 })[Symbol.asyncIterator]()
  await iterator.next()
  await iterator.next()
  const asked = iterator.next()
  await turns(20)
  await iterator.return?.()
  expect((await asked).done).toBe(true)
})

test("a device that never comes back: later calls say so, their signals are heeded, and the model can be disposed of", async () => {
  const model = await open(() => never)
  const controller = new AbortController()
  const first = Promise.resolve(model.generate([1, 2, 3], { temperature: 0, signal: controller.signal }))
  await turns(5)
  controller.abort()
  expect((await first).finishReason).toBe("abort")
  const second = new AbortController()
  const waiting = Promise.resolve(model.generate([1], { temperature: 0, signal: second.signal }))
  await turns(5)
  second.abort()
  expect(await waiting).toMatchObject({ finishReason: "abort", tokens: [] })
  expect(await refusal(model.logits([1]))).toMatch(/^generate\/busy: the device has not come back/)
  model.dispose()
  expect(await refusal(model.generate([1]))).toContain("generate/disposed")
})
