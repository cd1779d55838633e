/** What `weight`, `stack` and `state` describe, and what the language refuses outside of a compilation. */
import { describe, expect, test } from "vitest"
import { add, bits, grows, literal, map, repeat, stack, state, weight } from "../../dsl/index.js"
import { mix } from "../../dsl/sampling.js"

describe("specs", () => {
  test("each object is one stored dimension, the first the slowest", () => {
    expect(weight("q", { kv: 2, rep: 3 }, { embed: 4 })).toEqual({
      kind: "weight",
      tensors: ["q"],
      stack: undefined,
      dimensions: [
        [
          { axis: "kv", extent: 2 },
          { axis: "rep", extent: 3 },
        ],
        [{ axis: "embed", extent: 4 }],
      ],
    })
  })

  test("a stack has the names of its parts", () => {
    expect(stack("expert", 2, (e) => weight(`e${e}`, { embed: 4 }))).toEqual({
      kind: "weight",
      tensors: ["e0", "e1"],
      stack: { axis: "expert", extent: 2 },
      dimensions: [[{ axis: "embed", extent: 4 }]],
    })
  })

  test("a stack of unlike tensors is refused", () => {
    expect(() => stack("expert", 2, (e) => weight(`e${e}`, { embed: 4 + e }))).toThrow(
      'stack("expert", 2, …) needs tensors of one shape, and at least one',
    )
  })

  test("a state grows along one axis", () => {
    expect(state({ key: grows(128), dim: 4 }, "u32")).toEqual({
      kind: "state",
      axes: [
        { axis: "key", extent: 128, grows: true },
        { axis: "dim", extent: 4, grows: false },
      ],
      dtype: "u32",
    })
  })
})

describe("numbers and names are checked where they are written", () => {
  const range = "it is a whole number from 1 to 2147483647"
  const any = (value: unknown) => value as never
  test.each<readonly [string, () => unknown, string]>([
    ["zero", () => weight("q", { kv: 0 }), `weight("q"): axis "kv" has extent 0; ${range}`],
    ["a fraction", () => weight("q", { kv: 2 }, { embed: 64 / 3 }), 'weight("q"): axis "embed" has extent 21.3'],
    ["no number", () => weight("q", { kv: Number.NaN }), 'axis "kv" has extent NaN'],
    ["no limit", () => weight("q", { kv: Infinity }), 'axis "kv" has extent Infinity'],
    ["too large", () => weight("q", { kv: 2 ** 31 }), 'axis "kv" has extent 2147483648'],
    ["a text", () => weight("q", { kv: any("8") }), 'axis "kv" has extent "8"'],
    ["a BigInt", () => weight("q", { kv: any(8n) }), 'axis "kv" has extent 8n; it is a whole number'],
    ["nothing", () => weight("q", { kv: any(undefined) }), 'axis "kv" has extent undefined'],
    ["a tensor without a name", () => weight("", { kv: 1 }), 'weight(""): a tensor of the checkpoint has a name'],
    ["an axis without a name", () => weight("q", { "": 1 }), 'weight("q"): an axis has no name'],
    ["an axis twice", () => weight("q", { kv: 2 }, { kv: 2 }), 'weight("q"): the axis "kv" stands twice'],
    ["a state's", () => state({ key: grows(8), dim: -1 }), `state(…): axis "dim" has extent -1; ${range}`],
    ["a state's maximum", () => state({ key: grows(0.5) }), "grows(0.5): a maximum is a whole number"],
    ["a state's null", () => state({ key: any(null) }), 'state(…): axis "key" has extent null'],
    ["a state's type", () => state({ key: 1 }, any("f64")), 'state(…): there is no type "f64"'],
    [
      "a stack's",
      () => stack("e", 0, () => weight("q", { d: 1 })),
      `stack("e", 0, …): axis "e" has extent 0; ${range}`,
    ],
    ["a stack's axis twice", () => stack("e", 1, () => weight("q", { e: 1 })), 'the axis "e" stands twice'],
    ["a stack's tensor twice", () => stack("e", 2, () => weight("q", { d: 1 })), 'a tensor stands twice among "q"'],
    ["a count", () => repeat(1.5, (i) => i), "repeat(1.5, …): a count is a whole number from 0 to 2147483647"],
    ["a negative count", () => repeat(-1, (i) => i), "repeat(-1, …): a count is"],
  ])("%s", (_, make, message) => expect(make).toThrow(message))

  test("no layers are none, and an extent of 1 is one", () => {
    expect(repeat(0, (i) => i)).toEqual([])
    expect(weight("q", { kv: 1 })).toMatchObject({ dimensions: [[{ axis: "kv", extent: 1 }]] })
  })

  test("the stack begins at the caller's line", () => {
    try {
      weight("q", { kv: 0 })
    } catch (error) {
      expect((error as Error).stack!.split("\n")[1]).toContain("parameters.test.ts")
      return
    }
    expect.fail("nothing was thrown")
  })
})

describe("outside of a compilation", () => {
  test("calls of the language say how models are run", () => {
    const x = weight("x", { embed: 4 })
    const message = "a call of the language outside of a compilation"
    expect(() => add(x, x)).toThrow(message)
    expect(() => map((v) => v + 1, x)).toThrow(message)
    expect(() => literal(1)).toThrow(message)
  })

  test("scalar operations say where they belong", () => {
    expect(() => bits(1)).toThrow("bits() is an operation for scalar functions such as map((x) => bits(x), t)")
  })
})

test("the mixer is a bijection and turns about half of the bits", () => {
  const words = Array.from({ length: 4096 }, (_, i) => mix(i) >>> 0)
  expect(new Set(words).size).toBe(words.length)
  const ones = (word: number) => word.toString(2).replaceAll("0", "").length
  const turned = words.map((word, i) => ones((word ^ (mix(i ^ 1) >>> 0)) >>> 0))
  expect(turned.reduce((a, b) => a + b, 0) / turned.length).toBeCloseTo(16, 0)
})
