/** Whatever a host gives, a generation ends in a result or a WeftError: never in an error of JavaScript's. */
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { runInNewContext } from "node:vm"
import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { load } from "../../cli/node.js"
import { WeftError } from "../../runtime/errors.js"
import { createGenerator } from "../../runtime/generate/generator.js"
import type { GenerateOptions } from "../../runtime/generate/options.js"
import type { Prompt } from "../../runtime/generate/prompt.js"
import { root } from "../support/goldens.js"
import { tales } from "../text/tales.js"
import { refusal } from "./model.js"
import { scripted } from "./scripted.js"

const throwing = (error: unknown): object =>
  new Proxy(
    {},
    {
      get: () => {
        throw error
      },
      ownKeys: () => {
        throw error
      },
    },
  )
function revoked(target: object): object {
  const { proxy, revoke } = Proxy.revocable(target, {})
  revoke()
  return proxy
}
const shared = (ids: readonly number[]) => {
  const array = new Int32Array(new SharedArrayBuffer(4 * ids.length))
  array.set(ids)
  return array
}

/** Makes of a value; fast-check looks into the values that it draws, which these would not bear. */
type Make = () => unknown

const made: readonly Make[] = [
  () => throwing(new TypeError("no")),
  () => throwing(null),
  () => throwing("text"),
  () => revoked([]),
  () => revoked({}),
  () => Object.defineProperty({}, "seed", { enumerable: true, get: () => Number("x").toFixed(101) }),
]
const anything = fc.anything({
  withBigInt: true,
  withTypedArray: true,
  withNullPrototype: true,
  withSparseArray: true,
  withMap: true,
  withDate: true,
  withBoxedValues: true,
})
const special: readonly unknown[] = [
  ...[
    null,
    undefined,
    2n,
    -(2n ** 70n),
    Symbol("s"),
    () => 1,
    Number.NaN,
    -0,
    2 ** 53,
    1e308,
    "\ud800",
    "",
    "a",
    "Once",
  ],
  ...[new Date(Number.NaN), shared([1, 2]), shared([]), new BigInt64Array(2), new Float64Array([1, 0.5])],
  ...[
    new DataView(new ArrayBuffer(4)),
    { length: 1e9 },
    { length: 2n },
    { length: -1, 0: 1 },
    [null],
    ["a", 2n],
    [Symbol("s")],
  ],
  ...[
    runInNewContext("[1, 2]"),
    runInNewContext("['a']"),
    runInNewContext("({ aborted: false })"),
    new URL("file:///x"),
  ],
  ...[new AbortController().signal, Object.create(null)],
]
const odd: fc.Arbitrary<Make> = fc.oneof(
  anything.map((value) => () => value),
  fc.constantFrom(...special.map((value) => () => value)),
  fc.constantFrom(...made),
)
const names = ["maxTokens", "temperature", "topK", "topP", "minP", "seed", "stop", "ignoreEos", "signal"] as const
const oddOptions: fc.Arbitrary<Make> = fc.oneof(
  odd,
  fc
    .array(fc.tuple(fc.oneof(fc.constantFrom<string>(...names), fc.string()), odd), { minLength: 1, maxLength: 3 })
    .map((fields) => () => Object.fromEntries(fields.map(([name, make]) => [name, make()]))),
)

/** The code of the refusal, or how the generation ended. */
async function outcome(action: () => PromiseLike<unknown>): Promise<string> {
  try {
    await action()
    return "done"
  } catch (error) {
    if (error instanceof WeftError) return error.code
    throw new Error("an error that is not ours", { cause: error })
  }
}

const model = (withTokenizer: boolean) =>
  createGenerator(scripted([7, 8, 9, 4093]).session, withTokenizer ? { tokenizer: tales } : {})
const numRuns = 1000

describe("laws", () => {
  test("any prompt and any options", async () => {
    const codes = new Set<string>()
    const prompts = fc.oneof(
      odd,
      fc.constant(() => [1]),
    )
    const options = fc.oneof(
      oddOptions,
      fc.constant(() => ({})),
    )
    await fc.assert(
      fc.asyncProperty(prompts, options, fc.boolean(), async (prompt, given, text) => {
        codes.add(await outcome(() => model(text).generate(prompt() as Prompt, given() as GenerateOptions)))
      }),
      { numRuns },
    )
    for (const code of ["done", "generate/prompt", "generate/option", "generate/range", "generate/token"])
      expect(codes).toContain(code)
  })

  test("any ids of logits, and whatever a tokenizer is given", async () => {
    await fc.assert(
      fc.asyncProperty(odd, async (make) => {
        await outcome(() => model(true).logits(make() as readonly number[]))
        await outcome(async () => tales.isSpecial(make() as number))
        await outcome(async () => tales.encode(make() as string))
      }),
      { numRuns },
    )
  })
})

describe("values of other realms and kinds", () => {
  test("ids in shared memory and of another realm are ids", async () => {
    for (const ids of [shared([1, 2]), runInNewContext("[1, 2]"), new Uint16Array([1, 2]), { length: 2, 0: 1, 1: 2 }])
      expect((await model(false).generate(ids as Prompt)).tokens).toEqual([7, 8, 9])
  })

  test.each<readonly [string, unknown, unknown, string]>([
    ["a BigInt among ids", [1, 2n], {}, "generate/token: 2n is not a token"],
    ["a BigInt", 2n, {}, "generate/prompt: the prompt is 2n, neither a text nor a list of token ids"],
    ["null", null, {}, "generate/prompt: the prompt is null"],
    ["half a character", "a\ud83d", {}, "tokenizer/text: the text holds half a character"],
    [
      "a getter that throws",
      throwing(new TypeError("not now")),
      {},
      "generate/prompt: the prompt cannot be read: not now",
    ],
    ["no options", [1], null, "generate/range: options is null; it is an object"],
    ["a seed as BigInt", [1], { seed: 7n }, "generate/range: seed is 7n; it is a whole number"],
    ["a symbol", [1], { topK: Symbol("k") }, "generate/range: topK is Symbol(k); it is"],
    ["a signal that is null", [1], { signal: null }, "generate/range: signal is null; it is an AbortSignal"],
    ["stop strings with half a character", [1], { stop: ["\udc00"] }, "generate/range: stop is"],
    ["options that throw", [1], throwing("nothing"), "generate/option: the options cannot be read: nothing"],
  ])("%s", async (_, prompt, options, message) => {
    expect(await refusal(model(true).generate(prompt as Prompt, options as GenerateOptions))).toContain(message)
  })

  test("a signal that cannot be read later on ends in an error of ours, and the model stays usable", async () => {
    let reads = 0
    const signal = {
      get aborted() {
        if (reads++ > 2) throw new TypeError("gone")
        return false
      },
    } as AbortSignal
    const one = model(false)
    expect(await refusal(one.generate([1], { signal }))).toContain("generate/option: the signal cannot be read: gone")
    expect((await one.generate([1], { maxTokens: 1 })).tokens).toHaveLength(1)
  })
})

describe("load", () => {
  const any = (value: unknown) => value as never
  test.each<readonly [string, unknown, unknown, string]>([
    ["null", null, {}, "load/source: load is given null"],
    ["a BigInt", 2n, {}, "load/source: load is given 2n"],
    ["a URL that is no file", new URL("https://example.org/x"), {}, "load/source: what load is given cannot be read"],
    ["no options", "x", null, "load/option: the options are null"],
    ["a context as BigInt", "x", { context: 8n }, "load/context: context is 8n; it is a whole number"],
    ["a symbol", "x", { precision: Symbol("p") }, "load/precision: there is no precision Symbol(p)"],
    ["an option of another name", "x", { contxt: 5 }, 'load/option: there is no option "contxt"'],
    ["a model that is no path", "x", { model: 5 }, "load/option: model is 5; it is a path"],
    ["a cache that is no path", "x", { cache: null }, "load/option: cache is null; it is a path, or false"],
    ["options that throw", "x", throwing(new TypeError("no")), "load/option: the options of load cannot be read: no"],
    ["a reader that is none", "x", { onProgress: 1 }, "load/option: onProgress is 1; it is a function"],
  ])("%s", async (_, source, options, message) => {
    expect(await refusal(load(any(source), any(options)))).toContain(message)
  })

  test("a file: URL is the path that it names, of another realm, too", async () => {
    const missing = pathToFileURL(join(root, "nowhere"))
    expect(await refusal(load(missing))).toMatch(/^checkpoint\/missing: there is no directory ".*nowhere"/)
  })
})
