/** Which tensor is which weight: every prefix that fits is found, and none that does not is guessed. */
import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { findNames, matchesAny } from "../../runtime/weights/names.js"

const layer = (i: number) => ["attn.q.weight", "attn.q.bias", "norm.weight"].map((part) => `layers.${i}.${part}`)
const bare = ["embed.weight", ...layer(0), ...layer(1), "norm.weight"]
const expected = [...bare.map((name) => `model.${name}`), "lm_head.weight"]
const tied = { alternatives: { "model.embed.weight": ["lm_head.weight"] } }
const found = (names: readonly string[], wanted = expected, rules = {}) => findNames(wanted, new Set(names), rules)

describe("prefixes", () => {
  test.each([
    ["as the model has them", expected],
    ["without the first part", [...bare, "lm_head.weight"]],
    ["some without it", [...bare.slice(0, 3), ...expected.slice(3)]],
    ["all in a larger model", expected.map((name) => `language_model.${name}`)],
    ["the base in a larger model", [...bare.map((name) => `model.language_model.${name}`), "lm_head.weight"]],
    ["as a wrapper saves them", expected.map((name) => `base_model.model.${name}`)],
  ])("%s", (_, names) => {
    const { stored } = found([...names, "vision.layers.0.norm.weight"])
    expect([...stored.keys()]).toEqual(expected)
    expect([...stored.values()]).toEqual(names)
  })

  test("a model without them reads names that have one", () => {
    const { stored, homes } = found(
      bare.map((name) => `transformer.${name}`),
      bare,
    )
    expect([...stored.values()]).toEqual(bare.map((name) => `transformer.${name}`))
    expect([...homes]).toEqual(["transformer.embed", "transformer.layers", "transformer.norm"])
  })

  test("two modules that fit are told, and neither is taken", () => {
    const names = ["text.", "other."].flatMap((prefix) => expected.map((name) => prefix + name))
    const { stored, ambiguous } = found(names)
    expect(stored.size).toBe(0)
    expect(ambiguous).toEqual(["text.", "other."])
  })

  test("a tensor that is missing is not taken from another module", () => {
    const [first, ...rest] = expected
    expect(found([...rest, `draft.${first}`]).stored.has(first!)).toBe(false)
    const both = ["encoder", "decoder"].flatMap((side) => layer(0).map((name) => `${side}.${name}`))
    expect(found(both.slice(3), both).stored.size).toBe(3)
    expect(found(layer(0), both).stored.size).toBe(0)
    expect(found(["norm.weight"], ["model.norm.weight", "norm.weight"]).stored).toEqual(
      new Map([["norm.weight", "norm.weight"]]),
    )
  })
})

describe("a table with two names", () => {
  const wanted = expected.slice(0, -1)
  test.each([
    ["its own", "model.embed.weight"],
    ["the other", "lm_head.weight"],
  ])("is found by %s", (_, name) => {
    const { stored, twins } = found([name, ...wanted.slice(1)], wanted, tied)
    expect(stored.get("model.embed.weight")).toBe(name)
    expect(twins).toEqual([])
  })

  test("is found by either in a shifted checkpoint", () => {
    const names = ["a.b.lm_head.weight", ...wanted.slice(1).map((name) => `a.b.${name}`)]
    expect(found(names, wanted, tied).stored.get("model.embed.weight")).toBe("a.b.lm_head.weight")
    const base = ["lm_head.weight", ...bare.slice(1)]
    expect([...found(base, wanted, tied).stored.values()]).toEqual(base)
  })

  test("that stand both are twins", () => {
    expect(found(expected, wanted, tied).twins).toEqual([["model.embed.weight", "lm_head.weight"]])
  })
})

test("law: no tensor stands for two weights, and each has the end of its weight's name", () => {
  const part = fc.constantFrom("a", "b", "0", "w")
  const name = fc.array(part, { minLength: 1, maxLength: 4 }).map((parts) => parts.join("."))
  const names = fc.uniqueArray(name, { maxLength: 12 })
  fc.assert(
    fc.property(names, names, (wanted, held) => {
      const { stored } = found(held, wanted)
      expect(new Set(stored.values()).size).toBe(stored.size)
      for (const [weight, tensor] of stored) {
        expect(held).toContain(tensor)
        if (held.includes(weight)) expect(tensor).toBe(weight)
        const short = weight.slice(weight.indexOf(".") + 1)
        expect(tensor === weight || tensor.endsWith(`.${weight}`) || `.${tensor}`.endsWith(`.${short}`)).toBe(true)
      }
    }),
    { numRuns: 2000 },
  )
})

test("law: a star stands for any part, as in a regular expression", () => {
  const piece = fc.constantFrom("a", "b", ".", "*", "ab")
  const text = fc.array(piece, { maxLength: 6 }).map((parts) => parts.join(""))
  fc.assert(
    fc.property(text, text, (pattern, name) => {
      const source = pattern.replaceAll(".", "\\.").replaceAll("*", "[^]*")
      expect(matchesAny(name, [pattern])).toBe(new RegExp(`^${source}$`).test(name))
    }),
    { numRuns: 2000 },
  )
  const long = "a".repeat(50_000)
  expect(matchesAny(`${long}!`, [`${"*a".repeat(20_000)}*b`])).toBe(false)
})
