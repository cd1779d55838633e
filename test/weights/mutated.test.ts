/**
 * Laws of a checkpoint's text files: whatever is done to them, they are read as what they say, or refused in an error of ours that names the
 * file; nothing wrong passes, and nothing else is thrown.
 */
import { readFileSync } from "node:fs"
import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { ZodError } from "zod"
import { model } from "../../models/qwen3.js"
import { WeftError } from "../../runtime/errors.js"
import { defaultsOf, endTokensOf } from "../../runtime/generate/defaults.js"
import { ranges } from "../../runtime/generate/options.js"
import { createTokenizer } from "../../runtime/text/tokenizer.js"
import { parseConfig } from "../../runtime/weights/json.js"
import { readHeader, type SafetensorsHeader } from "../../runtime/weights/safetensors.js"
import { collectTensors, parseIndex } from "../../runtime/weights/shards.js"
import { memorySource } from "../../runtime/weights/source.js"
import { runs } from "../laws/settings.js"

const text = (path: string) => readFileSync(path, "utf8")

/** A place in a tree of JSON, and what is put there; `undefined` takes it away. */
type Change = readonly [path: number, value: unknown]
const value = fc.oneof(
  fc.constantFrom<unknown>(
    undefined,
    null,
    true,
    false,
    -1,
    0,
    1,
    1.5,
    2 ** 31,
    Infinity,
    -0,
    Number.NaN,
    "",
    "1",
    "NFC",
    [],
    {},
    [[]],
    [null],
  ),
  fc.integer({ min: -4, max: 200 }),
  fc.jsonValue({ maxDepth: 2 }),
)
const change: fc.Arbitrary<Change> = fc.tuple(fc.nat(), value)

/** A copy with one of its places changed. The depth is bounded, so that each step of a file is met as often as each token. */
function changed(json: unknown, [path, put]: Change, depth = 6): unknown {
  const keys = typeof json === "object" && json !== null ? Object.keys(json) : []
  const inside = path % (keys.length + 1)
  if (depth === 0 || keys.length === 0 || (depth < 6 && inside === keys.length)) return put
  const key = keys[inside % keys.length]!
  const copy = Array.isArray(json) ? [...json] : { ...(json as object) }
  const inner = changed((json as Record<string, unknown>)[key], [Math.floor(path / (keys.length + 1)), put], depth - 1)
  if (inner === undefined) Reflect.deleteProperty(copy, key)
  else Reflect.set(copy, key, inner)
  return copy
}

/** A text with some characters changed, doubled or gone. */
const cuts = fc.array(
  fc.tuple(fc.nat(), fc.constantFrom("", "0", "1", "-", ".", '"', "{", "}", "[", "]", ",", ":", "e9", "NaN", "a")),
  {
    minLength: 1,
    maxLength: 3,
  },
)
const cut = (whole: string, changes: readonly (readonly [number, string])[]) =>
  changes.reduce((now, [at, piece]) => {
    const place = at % (now.length + 1)
    return now.slice(0, place) + piece + now.slice(place + 1)
  }, whole)

/** What `read` gives, or the code of its refusal; any other error fails the test. */
function outcome<T>(read: () => T): { readonly value?: T; readonly code: string } {
  try {
    return { value: read(), code: "read" }
  } catch (error) {
    if (error instanceof WeftError) return { code: error.code }
    if (error instanceof ZodError) return { code: "config" }
    if (error instanceof SyntaxError) return { code: "json" }
    throw error
  }
}

describe("config.json", () => {
  const configs = ["qwen3", "qwen3-moe", "qwen3-yarn", "qwen3-window"].map((name) =>
    JSON.parse(text(`test/golden/${name}/config.json`)),
  )
  const isCount = (n: unknown) => Number.isInteger(n) && (n as number) >= 1 && (n as number) < 2 ** 31

  test("fields changed: every number of the program is one, or the field is named", () => {
    const codes = new Set<string>()
    fc.assert(
      fc.property(fc.constantFrom(...configs), fc.array(change, { minLength: 1, maxLength: 2 }), (config, changes) => {
        const json = changes.reduce((now: unknown, one) => changed(now, one, 6), config)
        // Layers are checked one by one elsewhere; a thousand of them take their time.
        if (
          typeof json === "object" &&
          json !== null &&
          Number((json as { num_hidden_layers?: number }).num_hidden_layers) > 8
        )
          return
        const { value: program, code } = outcome(() => model.configure(json))
        codes.add(code)
        if (program === undefined) return
        const { context, vocabulary, endTokens } = program.facts
        expect([context, vocabulary].every(isCount)).toBe(true)
        expect(endTokens.every((id) => Number.isInteger(id) && id >= 0 && id < vocabulary)).toBe(true)
        const extents = [...JSON.stringify([program.weights, program.states]).matchAll(/"extent":([^,}]+)/g)].map((m) =>
          Number(m[1]),
        )
        expect(extents.length).toBeGreaterThan(0)
        expect(extents.every(isCount)).toBe(true)
      }),
      { numRuns: runs(400) },
    )
    expect(codes).toEqual(new Set(["read", "config"]))
  })

  test("characters changed: JSON, or none", () => {
    const whole = JSON.stringify(configs[0])
    fc.assert(
      fc.property(cuts, (changes) => {
        const broken = cut(whole, changes)
        const { value: parsed, code } = outcome(() => parseConfig(broken))
        const plain = outcome(() => JSON.parse(broken))
        if (plain.code === "read") expect(parsed).toEqual(plain.value)
        else if (code === "read") expect(broken).toMatch(/NaN|Infinity/)
      }),
      { numRuns: runs(1000) },
    )
  })
})

test("generation_config.json: options in their ranges and tokens of the vocabulary, or the field is named", () => {
  const config = JSON.parse(text("models/tales/generation_config.json"))
  const fields = [...Object.keys(config), "min_p"]
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.constantFrom(...fields), value), { minLength: 1, maxLength: 3 }), (changes) => {
      const json = { ...config, ...Object.fromEntries(changes) }
      const { value: defaults, code } = outcome(() => defaultsOf(json))
      expect(code).toMatch(/^(read|generate\/range)$/)
      for (const [name, option] of Object.entries(defaults ?? {})) {
        const { least, most } = ranges[name as keyof typeof ranges]
        expect(option === undefined || (option >= least && option <= most)).toBe(true)
      }
      const ids = outcome(() => endTokensOf(json, 4096)).value ?? []
      expect(ids.every((id) => Number.isInteger(id) && id >= 0 && id < 4096)).toBe(true)
    }),
    { numRuns: runs(1000) },
  )
})

test("the index of shards: each tensor in the file that the header says, or a refusal", async () => {
  const folder = "models/tales"
  const whole = text(`${folder}/model.safetensors.index.json`)
  const files = [1, 2, 3].map((n) => `model-0000${n}-of-00003.safetensors`)
  const headers = new Map<string, SafetensorsHeader>()
  for (const file of files) headers.set(file, await readHeader(memorySource(file, readFileSync(`${folder}/${file}`))))
  const right = collectTensors(folder, headers, parseIndex("index", whole))
  const codes = new Set<string>()
  const mutated = fc.oneof(
    cuts.map((changes) => cut(whole, changes)),
    change.map((one) => JSON.stringify(changed(JSON.parse(whole), one)) ?? ""),
    fc
      .tuple(fc.nat(), fc.constantFrom(...files))
      .map(([at, file]) => JSON.stringify(changed(JSON.parse(whole), [1 + 3 * at, file]))),
  )
  fc.assert(
    fc.property(mutated, (index) => {
      const { value: tensors, code } = outcome(() => collectTensors(folder, headers, parseIndex("index", index)))
      codes.add(code)
      if (tensors !== undefined) expect(tensors).toEqual(right)
    }),
    { numRuns: runs(100) },
  )
  expect(codes).toContain("checkpoint/index")
  expect(codes).toContain("checkpoint/json")
})

test("tokenizer.json: texts come back, or the file is refused", () => {
  const shipped = JSON.parse(text("models/tales/tokenizer.json"))
  const codes = new Set<string>()
  const samples = ["Once upon a time, é 😀 王\n\t", " it's  12½ <|im_end|>"]
  fc.assert(
    fc.property(change, fc.boolean(), (one, inModel) => {
      const { model: merging, ...rest } = shipped
      // Half of the changes are to the steps, which are few beside the tokens.
      const json = inModel ? changed(shipped, one) : { model: merging, ...(changed(rest, one) as object) }
      const { value: tokenizer, code } = outcome(() => createTokenizer(JSON.stringify(json) ?? "", undefined))
      codes.add(code)
      expect(code).toMatch(/^(read|tokenizer\/(json|invalid|unsupported))$/)
      for (const sample of tokenizer === undefined ? [] : samples) {
        const ids = tokenizer!.encode(sample)
        expect(ids.every((id) => Number.isInteger(id) && id >= 0 && id < tokenizer!.vocabularySize)).toBe(true)
        expect(tokenizer!.decode(ids).normalize("NFC")).toBe(sample)
      }
    }),
    { numRuns: runs(60) },
  )
  expect(codes).toContain("read")
  expect(codes).toContain("tokenizer/unsupported")
})
