/** Slots: buffers that are in use at one time never share one, and sharing is nearly as good as it can be. */
import fc from "fast-check"
import { expect, test } from "vitest"
import { bytesOf, type Life, pack } from "../../compiler/plan/slots.js"
import { peak } from "./peak.js"

const lives: fc.Arbitrary<Life[]> = fc.array(
  fc
    .record({ bytes: fc.integer({ min: 1, max: 1000 }), first: fc.nat(40), length: fc.nat(12) })
    .map(({ bytes, first, length }) => ({ bytes, first, last: first + length })),
  { maxLength: 40 },
)
const meet = (a: Life, b: Life): boolean => a.first <= b.last && b.first <= a.last

test("buffers that are in use at one time have slots of their own, each large enough", () =>
  fc.assert(
    fc.property(lives, (given) => {
      const { slots, of } = pack(given)
      for (const [i, a] of given.entries()) {
        expect(slots[of[i]!]).toBeGreaterThanOrEqual(a.bytes)
        for (const [j, b] of given.entries()) if (i !== j && of[i] === of[j]) expect(meet(a, b)).toBe(false)
      }
      expect(bytesOf({ slots, of })).toBeGreaterThanOrEqual(peak(given))
    }),
    { numRuns: 500 },
  ))

test("buffers of one size take no more than what is in use at once", () =>
  fc.assert(
    fc.property(lives, (given) => {
      const equal = given.map((l) => ({ ...l, bytes: 64 }))
      expect(bytesOf(pack(equal))).toBe(peak(equal))
    }),
    { numRuns: 500 },
  ))

test("an example where the order of time alone is not good enough", () => {
  // A small buffer comes first; the large one later takes the place of one that is free, not that of the small one.
  const given = [
    { bytes: 8, first: 0, last: 9 },
    { bytes: 100, first: 1, last: 2 },
    { bytes: 8, first: 3, last: 4 },
    { bytes: 120, first: 5, last: 6 },
  ]
  expect(bytesOf(pack(given))).toBe(128)
})
