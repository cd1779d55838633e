/** A model's config is read by a schema of any library: what is asked for is a form, and the types of the model's functions follow from it. */
import { expect, test } from "vitest"
import * as z from "zod"
import { defineModel, type StandardSchema, weight } from "../../dsl/index.js"
import { type ConfigIssue, readConfig } from "../../dsl/schema.js"

const issuesOf = (read: () => unknown): readonly ConfigIssue[] => {
  try {
    read()
  } catch (error) {
    return (error as { issues: readonly ConfigIssue[] }).issues
  }
  throw new Error("the config was read")
}

const standard: StandardSchema<{ vocab: number }> = {
  "~standard": {
    version: 1,
    vendor: "own",
    validate(json) {
      const { vocab } = json as { vocab?: unknown }
      if (typeof vocab === "number") return { value: { vocab } }
      return {
        issues: [{ message: "a number is expected", path: ["sizes", { key: "vocab" }] }, { message: "no model" }],
      }
    },
  },
}

test("a schema that parses, one of the standard, and one that answers later", () => {
  expect(readConfig(z.object({ vocab: z.int() }), { vocab: 3, more: 1 })).toEqual({ vocab: 3 })
  expect(issuesOf(() => readConfig(z.object({ vocab: z.int() }), { vocab: "3" }))[0]).toMatchObject({ path: ["vocab"] })
  expect(readConfig(standard, { vocab: 3, more: 1 })).toEqual({ vocab: 3 })
  expect(issuesOf(() => readConfig(standard, {}))).toEqual([
    { message: "a number is expected", path: ["sizes", "vocab"] },
    { message: "no model", path: [] },
  ])
  const later: StandardSchema<number> = {
    "~standard": { version: 1, vendor: "own", validate: () => Promise.resolve({ value: 1 }) },
  }
  expect(() => readConfig(later, {})).toThrow("answers later")
})

test("the config's type is the model's, whichever the schema", () => {
  const rest = { families: [], state: () => ({}), forward: () => ({ logits: undefined as never, past: {} }) }
  const facts = (context: number) => ({ context, vocabulary: 1, endTokens: [] })
  // What is no field of the config is an error, so that none of these is `any`.
  const models = [
    defineModel({
      ...rest,
      config: z
        .object({ vocab: z.int(), tied: z.boolean().default(false) })
        .transform((c) => ({ ...c, twice: c.vocab * 2 })),
      facts: (c) => facts(c.tied ? 1 : c.twice),
      parameters: (c) => ({ table: weight("t", { vocab: c.vocab }) }),
    }),
    defineModel({
      ...rest,
      config: standard,
      facts: (c) => facts(c.vocab),
      // @ts-expect-error: there is no such field.
      parameters: (c) => ({ table: weight("t", { vocab: c.words }) }),
    }),
    defineModel({
      ...rest,
      config: { parse: (json: unknown) => ({ vocab: Number(json) }) },
      // @ts-expect-error: a number is no text.
      facts: (c) => facts(c.vocab.length),
      parameters: (c) => ({ table: weight("t", { vocab: c.vocab }) }),
    }),
  ]
  expect(models).toHaveLength(3)
})
