/** Which tensor is which weight: every prefix that fits is found, and none that does not is guessed. */
import fc from "fast-check"
import { describe, expect, test } from "vitest"
import type { StoredTensor } from "../../runtime/weights/checkpoint.js"
import { findNames, matchesAny } from "../../runtime/weights/names.js"
import { checkTwins } from "../../runtime/weights/reader.js"

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

test("law: a second tensor for a weight, with or without the first part of the name, is its twin", () => {
  const kept = fc.array(fc.constantFrom("with", "without", "both"), { minLength: bare.length, maxLength: bare.length })
  fc.assert(
    fc.property(kept, (kinds) => {
      const names = bare.flatMap((name, i) => [
        ...(kinds[i] === "without" ? [] : [`model.${name}`]),
        ...(kinds[i] === "with" ? [] : [name]),
      ])
      const { stored, twins } = found([...names, "lm_head.weight"])
      expect([...stored.keys()]).toEqual(expected)
      const both = bare.filter((_, i) => kinds[i] === "both")
      expect(twins).toEqual(both.map((name) => [`model.${name}`, name]))
    }),
    { numRuns: 200 },
  )
})

describe("two tensors for one weight", () => {
  const checkpointOf = (values: Readonly<Record<string, number>>) => {
    const tensor = (name: string): StoredTensor => ({
      name,
      dtype: "F32",
      shape: [1],
      file: "x",
      begin: 0,
      end: 4,
      byteLength: 4,
    })
    return {
      folder: "here",
      tensors: new Map(Object.keys(values).map((name) => [name, tensor(name)])),
      read: async ({ name }: StoredTensor) => new Uint8Array(new Float32Array([values[name]!]).buffer),
    }
  }
  const weights = ["model.norm.weight", "model.layers.0.norm.weight"].map((tensor) => ({ tensor }))
  const rest = { "model.layers.0.norm.weight": 3 }

  test("are taken as one when they hold the same", async () => {
    await checkTwins(checkpointOf({ ...rest, "norm.weight": 1, "model.norm.weight": 1 }), { weights })
  })

  test.each([
    [{ ...rest, "norm.weight": 1, "model.norm.weight": 2 }, /one weight for "model.norm.weight" and "norm.weight"/],
    [{ ...rest, "model.norm.weight": 2, "layers.0.norm.weight": 4 }, /one weight for "model.layers.0.norm.weight" and/],
  ])("are refused by name when they differ: %o", async (values, message) => {
    const error = await checkTwins(checkpointOf(values), { weights }).catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ code: "checkpoint/tied", message: expect.stringMatching(message) })
    expect(error).toMatchObject({ hint: expect.stringContaining("two names of one tensor") })
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
