import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { createDetokenizer } from "../../runtime/text/detokenizer.js"
import { goldenCases, idOfByte, tales } from "./tales.js"

const utf8 = new TextEncoder()
const whole = (bytes: readonly number[]) => new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(bytes))

/** A vocabulary in which token number n is the n-th of the given byte runs. */
const vocabulary = (tokens: readonly (readonly number[])[]) => ({
  tokenBytes: (id: number) => Uint8Array.from(tokens[id]!),
  isSpecial: () => false,
})

/** The parts that come of pushing all tokens, the flushed part last. */
function stream(tokens: readonly (readonly number[])[]): string[] {
  const detokenizer = createDetokenizer(vocabulary(tokens))
  return [...tokens.map((_, id) => detokenizer.push(id)), detokenizer.flush()]
}

/** Bytes that are often UTF-8, often nearly so: characters, single bytes and beginnings of characters. */
const nearlyUtf8 = fc
  .array(
    fc.oneof(
      fc.string({ unit: "binary", maxLength: 3 }).map((text) => [...utf8.encode(text)]),
      fc.integer({ min: 0x80, max: 0xff }).map((byte) => [byte]),
      fc.constantFrom([0xf0, 0x9f, 0x98], [0xe2, 0x82], [0xed, 0xa0, 0x80], [0xef, 0xbb, 0xbf], [0xf4, 0x90], [0xc0]),
    ),
    { maxLength: 12 },
  )
  .map((parts) => parts.flat())

/** The bytes cut at random places, empty tokens included. */
const splits = (bytes: fc.Arbitrary<number[]>) =>
  fc.tuple(bytes, fc.array(fc.nat(40), { maxLength: 12 })).map(([bytes, cuts]) => {
    const ends = [...cuts.map((cut) => Math.min(cut, bytes.length)), bytes.length].sort((a, b) => a - b)
    return ends.map((end, index) => bytes.slice(index === 0 ? 0 : ends[index - 1]!, end))
  })

describe("laws: the parts together are the decoding of all bytes", () => {
  const numRuns = 1000

  it("for bytes that are nearly UTF-8, split anywhere", () => {
    fc.assert(
      fc.property(splits(nearlyUtf8), (tokens) => {
        expect(stream(tokens).join("")).toBe(whole(tokens.flat()))
      }),
      { numRuns },
    )
  })

  it("for random bytes, split anywhere", () => {
    const bytes = fc.array(fc.integer({ min: 0, max: 255 }), { maxLength: 40 })
    fc.assert(
      fc.property(splits(bytes), (tokens) => {
        expect(stream(tokens).join("")).toBe(whole(tokens.flat()))
      }),
      { numRuns },
    )
  })

  it("each part of a well-formed text is all characters that are whole by then", () => {
    const bytes = fc.string({ unit: "binary", maxLength: 10 }).map((text) => [...utf8.encode(text)])
    fc.assert(
      fc.property(splits(bytes), (tokens) => {
        const all = tokens.flat()
        let seen = 0
        let text = ""
        for (const [index, part] of stream(tokens).entries()) {
          seen += tokens[index]?.length ?? 0
          let end = seen
          while (end < all.length && (all[end]! & 0xc0) === 0x80) end--
          text += part
          expect(text).toBe(whole(all.slice(0, end)))
        }
      }),
      { numRuns },
    )
  })

  it("for any ids of a real vocabulary", () => {
    const ids = fc.array(fc.integer({ min: 0, max: tales.vocabularySize - 1 }), { maxLength: 20 })
    fc.assert(
      fc.property(ids, fc.boolean(), (ids, skipSpecial) => {
        const detokenizer = createDetokenizer(tales, { skipSpecial })
        const text = ids.map((id) => detokenizer.push(id)).join("") + detokenizer.flush()
        expect(text).toBe(tales.decode(ids, { skipSpecial }))
      }),
    )
  })
})

describe("streams", () => {
  it("holds a character back until it is whole", () => {
    expect(stream([[0xf0, 0x9f], [0x98], [0x80, 0x21], [0xc3]])).toEqual(["", "", "😀!", "", "\ufffd"])
    expect(stream([...utf8.encode("王€")].map((byte) => [byte]))).toEqual(["", "", "王", "", "", "€", ""])
  })

  it("replaces ill-formed bytes as soon as they are known to be ill-formed", () => {
    expect(stream([[0xf0, 0x9f, 0x98], [0x41]])).toEqual(["", "\ufffdA", ""])
    expect(stream([[0xc3], [0xc3], [0xa9]])).toEqual(["", "\ufffd", "é", ""])
    expect(stream([[0x80], [0xff]])).toEqual(["\ufffd", "\ufffd", ""])
    expect(stream([[0xed, 0xa0, 0x80]]).join("")).toBe("\ufffd\ufffd\ufffd")
  })

  it("keeps a byte order mark, whole or split", () => {
    expect(
      stream([
        [0xef, 0xbb],
        [0xbf, 0x41],
        [0xef, 0xbb, 0xbf],
      ]).join(""),
    ).toBe("\ufeffA\ufeff")
  })

  it.each(goldenCases.map((golden) => [golden.prompt, golden] as const))("golden: after %j", (_, golden) => {
    const detokenizer = createDetokenizer(tales)
    expect(golden.greedy.map((id) => detokenizer.push(id)).join("") + detokenizer.flush()).toBe(golden.text)
  })

  it.each(["👩‍👩‍👧‍👦 🇩🇰", "昔々、ある国に王様がいました。"])("streams %s whole", (text) => {
    const detokenizer = createDetokenizer(tales)
    const parts = tales.encode(text).map((id) => detokenizer.push(id))
    expect(parts).toContain("")
    expect(parts.join("")).toBe(text)
    expect(detokenizer.flush()).toBe("")
  })

  it("gives special tokens no text by default and does not end a character at them", () => {
    const ids = [4094, idOfByte(0xc3), 4095, idOfByte(0xa9)]
    const detokenizer = createDetokenizer(tales)
    expect(ids.map((id) => detokenizer.push(id))).toEqual(["", "", "", "é"])
    const withSpecial = createDetokenizer(tales, { skipSpecial: false })
    expect(ids.map((id) => withSpecial.push(id))).toEqual(["<|im_start|>", "", "\ufffd<|im_end|>", "\ufffd"])
  })

  it("begins anew after a flush", () => {
    const detokenizer = createDetokenizer(vocabulary([[0xc3], [0xa9], [0x41]]))
    expect([detokenizer.push(0), detokenizer.flush(), detokenizer.push(1), detokenizer.push(2)]).toEqual([
      "",
      "\ufffd",
      "\ufffd",
      "A",
    ])
  })
})
