/**
 * Wrong arguments of the language's own calls: whatever is given in the place of one argument, it is right or it is told, with a code, a hint, and the
 * line of the author's call. Never an untyped error, never a program that is accepted and wrong.
 */
import fc from "fast-check"
import { beforeAll, describe, expect, test } from "vitest"
import { withTable } from "../../compiler/ir/expression.js"
import { createTracing } from "../../compiler/trace/trace.js"
import { withTracing } from "../../dsl/attach.js"
import { merge, pad, type Tensor } from "../../dsl/index.js"
import { WeftError } from "../../runtime/errors.js"
import { law, patience } from "../laws/settings.js"
import { attempt, given, loadSlots, numbers, others } from "./misuse-cases.js"
import type { Slot } from "./misuse-programs.js"

let slots: Readonly<Record<string, Slot>>
let lines: readonly string[]
beforeAll(async () => {
  ;({ slots, lines } = await loadSlots())
})

const drawn = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom<unknown>(...numbers) },
  { weight: 3, arbitrary: fc.constantFrom<unknown>(...others) },
  { weight: 1, arbitrary: fc.oneof<fc.Arbitrary<unknown>[]>(fc.integer(), fc.double(), fc.string(), fc.bigInt()) },
)

test("an argument is right, or is told at its line", { timeout: patience }, () => {
  const choice = fc.record({ name: fc.nat(9999), value: drawn })
  const names = Object.keys(slots)
  law("misuse of the language", choice, 4000, ({ name, value }) => {
    const chosen = names[name % names.length]!
    const slot = slots[chosen]!
    const error = attempt(slot, value)
    const shown = typeof value === "symbol" ? "a symbol" : `${typeof value} ${String(value)}`
    if (slot.right(value)) {
      if (error !== undefined) throw new Error(`${chosen} refuses ${shown}: ${error}`)
      return
    }
    if (error === undefined) throw new Error(`${chosen} takes ${shown}`)
    if (!(error instanceof WeftError)) throw new Error(`${chosen} of ${shown} ends in ${(error as Error).stack}`)
    const line = lines[(error.span?.line ?? 0) - 1] ?? ""
    if (error.span?.file !== "test/dsl/misuse-programs.ts" || !line.includes(`${JSON.stringify(chosen)}: {`))
      throw new Error(`${chosen} of ${shown} is told at ${error.message}`)
    if (error.hint === undefined) throw new Error(`${chosen} of ${shown} has no hint: ${error.message}`)
  })
})

describe("the sentences", () => {
  test.each<[name: string, drawn: unknown, sentence: string]>([
    ["slice start", -1, "the start of a slice is -1; it is a whole number from 0"],
    ["slice count", 5, "slice 2 … 6 leaves axis 'a' of 6"],
    ["pad before", 0.5, "the padding before is 0.5; it is a whole number from 0"],
    ["pad before", 2 ** 31 - 7, "axis 'a' would have 2147483648 elements, and 2147483647 is the most"],
    ["pad value of integers", Number.NaN, "the value of the padding is NaN, which no i32 is"],
    ["windows count", 7, "windows of 7 do not fit axis 'a' of 6"],
    ["roll distance", 1.5, "the distance of a roll is 1.5; it is a whole number between −2^31 and 2^31"],
    ["top count", 0, "the count of a top is 0; it is a whole number from 1"],
    ["top count", 7, "top 7 of axis 'a' of 6"],
    ["constant integer", 2 ** 31, "number 1 of a constant is 2147483648, which no i32 is"],
    ["constant number", 1n, "number 1 of a constant is 1n; it is a number"],
    ["literal", 1e39, "number 0 of a constant is 1e+39, which is infinite as an f32"],
    ["rename to", "b", "axis 'b' exists already"],
    ["merge from", "a", "axis 'a' is named twice"],
    ["rename to", 3, "the name of an axis is 3; it is a text"],
    ["softmax axis", "c", "there is no axis 'c' here; the axes are 'a', 'b'"],
    ["causal window", 1.5, "the window is 1.5; it is a whole number of keys from 1"],
    ["call result", 1, "the repeated unit '' returns 1, without a tensor"],
  ])("%s: %s", (name, value, sentence) => {
    expect(String(attempt(slots[name]!, value))).toContain(sentence)
  })
})

test("a merged axis of more elements than are numbered is told", () => {
  withTable(() =>
    withTracing(createTracing(), () => {
      const x = given().x as Tensor<"a" | "b">
      const wide = pad(pad(x, "a", 0, 2 ** 16), "b", 0, 2 ** 16)
      expect(() => merge(wide, ["a", "b"], "c")).toThrow(
        /axis 'c' would have \d{10} elements, and 2147483647 is the most/,
      )
    }),
  )
})

test("a tensor of another trace is told, with where it was made", () => {
  let left: unknown
  withTable(() => {
    const all = given()
    const known = Object.values(all) as never
    withTracing(createTracing(known), () => {
      left = slots["sum axis"]!.call(all, "a" as never)
    })
    const other = () => withTracing(createTracing(known), () => slots["sum tensor"]!.call(all, left as never))
    expect(other).toThrow(
      /this tensor was made while another function was traced, at test\/dsl\/misuse-programs.ts:\d+/,
    )
  })
})
