import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { createStopFilter, type StopResult } from "../../runtime/text/stop.js"

/** What is to be released of a whole text: all before the earliest place where any stop string begins. */
function cut(text: string, stop: readonly string[]): StopResult {
  const places = stop.map((string) => text.indexOf(string)).filter((at) => at >= 0)
  return places.length === 0 ? { text, stopped: false } : { text: text.slice(0, Math.min(...places)), stopped: true }
}

function run(
  parts: readonly string[],
  stop: readonly string[],
): { released: string; stopped: boolean; parts: string[] } {
  const filter = createStopFilter(stop)
  const results = [...parts.map((part) => filter.push(part)), filter.flush()]
  const texts = results.map((result) => result.text)
  return { released: texts.join(""), stopped: results.at(-1)!.stopped, parts: texts }
}

const letters = fc.constantFrom("a", "b")
const stopStrings = fc.array(fc.string({ unit: letters, minLength: 1, maxLength: 4 }), { maxLength: 4 })
const textParts = fc.array(fc.string({ unit: letters, maxLength: 4 }), { maxLength: 6 })

/** Every text of up to three letters; "c" is in no stop string. */
const continuations = [""]
for (let from = 0; continuations.length < 1 + 3 + 9 + 27; from++)
  continuations.push(...["a", "b", "c"].map((letter) => continuations[from] + letter))

function commonPrefix(texts: readonly string[]): string {
  let length = 0
  while (length < texts[0]!.length && texts.every((text) => text[length] === texts[0]![length])) length++
  return texts[0]!.slice(0, length)
}

describe("laws", () => {
  it("releases the text before the earliest stop string, however it is split", () => {
    fc.assert(
      fc.property(textParts, stopStrings, (parts, stop) => {
        const { released, stopped } = run(parts, stop)
        expect({ text: released, stopped }).toEqual(cut(parts.join(""), stop))
      }),
      { numRuns: 2000 },
    )
  })

  it("does so for any characters", () => {
    const unit = fc.constantFrom("😀", "😁", "é", "王", "\n", "e\u0301")
    const parts = fc.array(fc.string({ unit, maxLength: 4 }), { maxLength: 6 })
    const stop = fc.array(fc.string({ unit, minLength: 1, maxLength: 3 }), { maxLength: 3 })
    fc.assert(
      fc.property(parts, stop, (parts, stop) => {
        const { released, stopped, parts: texts } = run(parts, stop)
        expect({ text: released, stopped }).toEqual(cut(parts.join(""), stop))
        for (const text of texts) expect(text).not.toMatch(/[\ud800-\udbff]$|^[\udc00-\udfff]/)
      }),
    )
  })

  it("after every push has released all that holds for every continuation, and has stopped when they all agree", () => {
    fc.assert(
      fc.property(textParts, stopStrings, (parts, stop) => {
        const filter = createStopFilter(stop)
        let seen = ""
        let released = ""
        for (const part of parts) {
          seen += part
          const result = filter.push(part)
          released += result.text
          const outcomes = continuations.map((continuation) => cut(seen + continuation, stop).text)
          expect(released).toBe(commonPrefix(outcomes))
          expect(result.stopped).toBe(outcomes.every((outcome) => outcome === outcomes[0]))
        }
      }),
      { numRuns: 300 },
    )
  })
})

describe("cases", () => {
  it("finds a stop string across parts and releases what turned out not to be one", () => {
    expect(run(["The E", "Nx", " E", "N", "D and more"], ["END"])).toEqual({
      released: "The ENx ",
      stopped: true,
      parts: ["The ", "ENx", " ", "", "", ""],
    })
  })

  it("stops at a stop string that is a prefix of another at once", () => {
    const filter = createStopFilter(["abc", "ab"])
    expect(filter.push("xa")).toEqual({ text: "x", stopped: false })
    expect(filter.push("b")).toEqual({ text: "", stopped: true })
    expect(filter.push("c")).toEqual({ text: "", stopped: true })
    expect(filter.flush()).toEqual({ text: "", stopped: true })
  })

  it("waits while an earlier place may still become a longer stop string", () => {
    const begin = () => {
      const filter = createStopFilter(["abcd", "bc"])
      expect(filter.push("xabc")).toEqual({ text: "x", stopped: false })
      return filter
    }
    expect(begin().push("d")).toEqual({ text: "", stopped: true })
    expect(begin().push("e")).toEqual({ text: "a", stopped: true })
    expect(begin().flush()).toEqual({ text: "a", stopped: true })
  })

  it("passes everything at once when there is nothing to stop at", () => {
    expect(run(["a", "", "b"], [])).toEqual({ released: "ab", stopped: false, parts: ["a", "", "b", ""] })
  })

  it("releases at the end what only began a stop string", () => {
    expect(run(["so \n", "\n"], ["\n\n\n"])).toEqual({
      released: "so \n\n",
      stopped: false,
      parts: ["so ", "", "\n\n"],
    })
  })

  it("finds a stop string that overlaps itself", () => {
    expect(run(["aa", "ab", "aab"], ["aab"]).parts).toEqual(["", "a", "", ""])
    expect(run(["abab", "ac"], ["ababac"])).toMatchObject({ released: "", stopped: true })
    expect(run(["ababab", "ac"], ["ababac"])).toMatchObject({ released: "ab", stopped: true })
  })

  it("refuses an empty stop string", () => {
    expect(() => createStopFilter(["a", ""])).toThrowError(
      expect.objectContaining({
        name: "WeftError",
        code: "stop/empty",
        message: "a stop string is empty\nhint: leave it out: it would end every text at once",
      }),
    )
  })
})
