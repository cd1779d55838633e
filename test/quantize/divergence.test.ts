/** Divergence of models that are made up: what is said of equal ones, of known ones, and what is left behind. */
import { mkdtempSync, readdirSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, expect, test } from "vitest"
import { divergenceOf, klOf, type Opened } from "../../cli/quantize/divergence.js"

const vocabulary = 7
const context = 10

/** A model whose logits are `at(token, column)`; it counts how often it is asked and closed. */
function made(at: (token: number, column: number) => number, disposed: string[] = [], tokens = 25) {
  const tokenizer = {
    encode: (text: string) => Array.from({ length: tokens }, (_, i) => (i * 5 + text.length) % vocabulary),
  }
  const asked: number[] = []
  const model = {
    facts: { context, vocabulary },
    tokenizer,
    device: { kind: "wasm", description: "made up" },
    async logits(ids: readonly number[]) {
      asked.push(ids.length)
      const data = Float32Array.from({ length: ids.length * vocabulary }, (_, i) =>
        at(ids[Math.floor(i / vocabulary)]!, i % vocabulary),
      )
      return { data, shape: [ids.length, vocabulary] }
    },
    dispose: () => disposed.push("disposed"),
  } as unknown as Opened
  return { asked, open: async () => model }
}
const some = (token: number, column: number) => Math.sin(token * 3 + column * 5) * 3
const options = { text: "given", maxTokens: 100 }

/** What is put aside lies in a folder of this test's own. */
const { TMPDIR } = process.env
const folder = mkdtempSync(join(tmpdir(), "weft-divergence-"))
beforeAll(() => {
  process.env.TMPDIR = folder
})
afterAll(() => {
  rmSync(folder, { recursive: true })
  if (TMPDIR === undefined) delete process.env.TMPDIR
  else process.env.TMPDIR = TMPDIR
})
const nothingLeft = () => expect(readdirSync(folder)).toEqual([])

test("equal models do not diverge, nor do logits that are all more by the same", async () => {
  const [a, b] = [made(some), made((token, column) => some(token, column) + token)]
  const found = await divergenceOf(a.open, b.open, options, "built in")
  expect(found).toMatchObject({ tokens: 25, text: "given", agreement: 1, device: "wasm: made up" })
  expect(found.meanKl).toBeLessThan(1e-10)
  expect(a.asked).toEqual([10, 10, 5])
  expect(b.asked).toEqual([10, 10, 5])
  nothingLeft()
})

test("known divergence: one of two likely tokens that is twice as likely, and one that changes places", async () => {
  const first = (_: number, column: number) => (column < 2 ? 0 : Number.NEGATIVE_INFINITY)
  const second = (_: number, column: number) => (column === 0 ? Math.log(1 / 3) : column === 1 ? Math.log(2 / 3) : -100)
  const p = Array.from({ length: vocabulary }, (_, column) => (column < 2 ? 0 : -1e4))
  const q = Array.from({ length: vocabulary }, (_, column) => second(0, column))
  expect(klOf(p, q)).toBeCloseTo(0.5 * Math.log(0.5 / (1 / 3)) + 0.5 * Math.log(0.5 / (2 / 3)), 12)
  expect(
    klOf(
      q,
      p.map((x, i) => (i < 2 ? x : -100)),
    ),
  ).toBeCloseTo((1 / 3) * Math.log(2 / 3) + (2 / 3) * Math.log(4 / 3), 12)
  const { agreement } = await divergenceOf(
    made((t, c) => (c < 2 ? first(t, c) : -1e4)).open,
    made(second).open,
    options,
    "",
  )
  expect(agreement).toBe(0)
})

test("a text is cut off after so many tokens; without a tokenizer ids are drawn", async () => {
  const [a, b] = [made(some), made(some)]
  const cut = await divergenceOf(a.open, b.open, { ...options, text: undefined, maxTokens: 12 }, "built in")
  expect(cut).toMatchObject({ tokens: 12, text: "built in" })
  const without = (open: () => Promise<Opened>) => async () => ({ ...(await open()), tokenizer: undefined })
  const drawn = await divergenceOf(without(a.open), without(b.open), { text: undefined, maxTokens: 30 }, "built in")
  expect(drawn).toMatchObject({ tokens: 30, text: "random ids", agreement: 1 })
  await expect(divergenceOf(without(a.open), without(b.open), options, "")).rejects.toThrow("no tokenizer")
  nothingLeft()
})

test("both models are closed, and nothing is left, when the second one fails", async () => {
  const disposed: string[] = []
  const fails = async () => ({
    ...(await made(some, disposed).open()),
    logits: () => Promise.reject(new Error("gone")),
  })
  await expect(divergenceOf(made(some, disposed).open, fails, options, "")).rejects.toThrow("gone")
  expect(disposed.length).toBe(2)
  nothingLeft()
})

test("what is interrupted closes the model that is open, and leaves nothing", async () => {
  const interrupt = new AbortController()
  const disposed: string[] = []
  const onProgress = (done: number) => done > 30 && interrupt.abort(new Error("enough"))
  const [a, b] = [made(some, disposed), made(some, disposed)]
  const compared = { ...options, signal: interrupt.signal, onProgress }
  await expect(divergenceOf(a.open, b.open, compared, "")).rejects.toThrow("enough")
  expect([a.asked.length, b.asked.length, disposed.length]).toEqual([3, 1, 2])
  nothingLeft()
})
