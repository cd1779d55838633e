/** The laws of the monoids: identity, associativity, and that appending is combining with a single element. */
import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { append, combine, type Element, identityElement } from "../../compiler/interpret/monoid.js"
import {
  argmax,
  componentCount,
  type Monoid,
  max,
  min,
  monoidKey,
  product,
  sum,
  top,
} from "../../compiler/ir/monoid.js"
import type { DType } from "../../compiler/ir/operations.js"

const cases: readonly (readonly [Monoid, readonly DType[]])[] = [
  [sum, ["f32"]],
  [sum, ["i32"]],
  [sum, ["u32"]],
  [max, ["f32"]],
  [min, ["i32"]],
  [max, ["u32"]],
  [argmax, ["f32", "i32"]],
  [top(1), ["f32", "i32"]],
  [top(3), ["i32", "i32"]],
  [product(sum, argmax, max), ["f32", "f32", "i32", "u32"]],
  [product(top(2), product(min, sum)), ["f32", "i32", "f32", "i32"]],
]
/** Small values, so that ties are common; the second of a pair is an index. */
const value = (dtype: DType) => (dtype === "u32" ? fc.nat(4) : fc.integer({ min: -4, max: 4 }))
const tuples = (types: readonly DType[]) => fc.array(fc.tuple(...types.map(value)), { maxLength: 6 })

for (const [monoid, types] of cases)
  describe(`${monoidKey(monoid)} of ${types.join(", ")}`, () => {
    const none = identityElement(monoid, types)
    const fold = (xs: readonly (readonly number[])[]): Element =>
      xs.reduce<Element>((e, x) => append(monoid, types, e, x), none)
    const element = tuples(types).map(fold)
    const both = (a: Element, b: Element) => combine(monoid, types, a, b)

    test("has the components that are counted", () => expect(none.length).toBe(componentCount(monoid)))
    test("identity", () =>
      fc.assert(
        fc.property(element, (a) => {
          expect(both(a, none)).toEqual(a)
          expect(both(none, a)).toEqual(a)
        }),
      ))
    test("associativity", () =>
      fc.assert(
        fc.property(element, element, element, (a, b, c) => {
          expect(both(both(a, b), c)).toEqual(both(a, both(b, c)))
        }),
      ))
    test("a fold in two parts is the fold", () =>
      fc.assert(
        fc.property(tuples(types), tuples(types), (xs, ys) => {
          expect(both(fold(xs), fold(ys))).toEqual(fold([...xs, ...ys]))
        }),
      ))
  })

describe("ties and ranks", () => {
  test("argmax and top take the lowest index, in any order of arrival", () => {
    const types: DType[] = ["f32", "i32"]
    const pairs = [
      [5, 3],
      [5, 1],
      [2, 0],
      [5, 2],
    ]
    const shuffled = fc.shuffledSubarray(pairs, { minLength: 4 })
    fc.assert(
      fc.property(shuffled, (xs) => {
        const fold = (m: Monoid) => xs.reduce<Element>((e, x) => append(m, types, e, x), identityElement(m, types))
        expect(fold(argmax)).toEqual([[5], [1]])
        expect(fold(top(3))).toEqual([
          [5, 5, 5],
          [1, 2, 3],
        ])
      }),
    )
  })
  test("the lowest value at a real index beats the identity", () => {
    const low = -3.4028234663852886e38
    expect(append(argmax, ["f32", "i32"], identityElement(argmax, ["f32", "i32"]), [low, 4])).toEqual([[low], [4]])
  })
  test("integers wrap", () => {
    expect(append(sum, ["i32"], [[2147483647]], [1])).toEqual([[-2147483648]])
    expect(append(sum, ["u32"], [[4294967295]], [1])).toEqual([[0]])
  })
})
