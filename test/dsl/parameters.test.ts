/** What `weight`, `stack` and `state` describe, and what the language refuses outside of a compilation. */
import { describe, expect, test } from "vitest"
import { add, bits, grows, literal, map, stack, state, weight } from "../../dsl/index.js"
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
