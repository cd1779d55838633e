/**
 * Law: a conversation goes on from what its model holds, or begins anew where states have lost what it needs, and each answer is that of a model
 * that begins anew.
 *
 * A layer sees three tokens and keeps as many; its memory has room for eight more, so that turns which go back far find them gone.
 */
import fc from "fast-check"
import { beforeAll, expect, test } from "vitest"
import { chooseDevice } from "../../cli/device.js"
import { compileProgram } from "../../compiler/compile.js"
import { loadModel } from "../../compiler/frontend/load.js"
import { exclusiveCalls } from "../../runtime/generate/exclusive.js"
import { createGenerator } from "../../runtime/generate/generator.js"
import { nothingHeld, type Running, runGeneration } from "../../runtime/generate/run.js"
import { createSession, type Session } from "../../runtime/session.js"
import { runs, seed } from "../laws/settings.js"
import { context, vocab } from "./endings.js"
import type * as Models from "./stateful-model.js"

let models: typeof Models
beforeAll(async () => {
  models = (await loadModel("test/generate/stateful-model.ts")).module as typeof Models
})

/** Of both weights. */
const numbers = Float32Array.from({ length: vocab * 4 }, (_, i) => Math.sin(i + 1))

/** Those of the last token that was read. */
async function logitsOf(session: Session): Promise<Float32Array> {
  return new Float32Array((await session.read("states.logits", vocab * 4)).slice().buffer)
}
const difference = (a: Float32Array, b: Float32Array) => Math.max(...a.map((x, i) => Math.abs(x - b[i]!)))

/** A turn: how much of what is held it begins with, what it adds, and how long its answer may be before its reader leaves, if at all. */
const turns = fc.array(
  fc.record({
    back: fc.oneof(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0, max: context })),
    ids: fc.array(fc.nat(vocab - 1), { minLength: 1, maxLength: 6 }),
    count: fc.integer({ min: 1, max: 9 }),
    leaves: fc.boolean(),
  }),
  { minLength: 2, maxLength: 6 },
)

test(`turns go on from what is held, WEFT_SEED=${seed}`, async () => {
  const { device } = await chooseDevice("wasm", 1)
  const program = models.model.configure({ context, vocab, layers: ["window", "window"] })
  const { artifact } = compileProgram(program, "kept", { target: "wasm", chunk: 5, storage: () => "f32" })
  const [room] = artifact.buffers.filter((b) => b.keeps !== undefined).map((b) => b.shape[0]!)
  expect(room).toBe(models.window + 8)
  const read = async (_: unknown, at: number, length: number) => new Uint8Array(numbers.buffer, at, length)
  const fresh = createGenerator(await createSession(artifact, device, { read }))
  const [went, anew] = [[] as number[], [] as number[]]

  const property = fc.asyncProperty(turns, fc.constantFrom(1, 2, 8), async (all, ahead) => {
    const own = await createSession(artifact, device, { read })
    const session: Session = { ...own, device: Object.create(device, { ahead: { value: ahead } }) }
    const shared = { session, facts: artifact.model!, tokenizer: undefined, defaults: {}, endTokens: new Set<number>() }
    const model: Running = { ...shared, calls: exclusiveCalls(session), commands: 0, held: nothingHeld() }
    let held: readonly number[] = []
    /** Tokens that were read at most since the beginning. */
    let most = 0
    for (const { back, ids, count, leaves } of all) {
      const kept = held.slice(0, Math.max(0, held.length - back))
      const prompt = [...kept, ...ids].slice(0, context - 1)
      const options = { temperature: 0, maxTokens: count, ignoreEos: true }
      const leaving = new AbortController()
      const generation = runGeneration(
        model,
        prompt,
        { ...options, signal: leaving.signal },
        new AbortController().signal,
        true,
      )
      const tokens: number[] = []
      let next = await generation.next()
      for (; next.done !== true; next = await generation.next()) {
        tokens.push(...next.value.tokens)
        if (leaves && tokens.length >= count >> 1) leaving.abort()
      }
      const { cachedTokens } = next.value.usage
      const wanted = (await fresh.generate(prompt, options)).tokens
      expect(tokens).toEqual(leaves ? wanted.slice(0, tokens.length) : wanted)
      if (!leaves) expect(difference(await logitsOf(session), await logitsOf(fresh.session))).toBeLessThan(1e-4)
      const same = prompt.findIndex((id, i) => i === prompt.length - 1 || id !== held[i])
      if (cachedTokens > 0) expect(cachedTokens).toBe(same)
      if (most - room! <= Math.max(0, same - models.window)) expect(cachedTokens).toBe(same)
      if (cachedTokens > 0) went.push(cachedTokens)
      else if (same > 0) anew.push(same)
      most = Math.max(
        cachedTokens > 0 ? most : 0,
        prompt.length + Math.min(tokens.length - 1 + ahead, context - prompt.length),
      )
      // The last token was chosen and not read, but where more were asked for ahead.
      held = [...prompt, ...tokens.slice(0, -1)]
    }
    session.dispose()
  })
  const turn = (back: number, ids: number, count: number) => ({ back, ids: Array(ids).fill(1), count, leaves: false })
  await fc.assert(property, {
    seed,
    numRuns: runs(60),
    examples: [[[turn(0, 6, 9), turn(0, 3, 6), turn(14, 1, 1)], 1]],
  })
  // Both happen.
  expect(went.length).toBeGreaterThan(0)
  expect(anew.length).toBeGreaterThan(0)
  fresh.dispose()
  device.dispose()
})
