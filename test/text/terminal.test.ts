/** No text can steer a terminal, and text that cannot comes through as it is. */
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { terminalText } from "../../runtime/text/terminal.js"

/** Written apart from the implementation: whether a terminal would take the character for anything but a sign to show. */
function steers(code: number): boolean {
  if (code < 0x20) return code !== 0x09 && code !== 0x0a && code !== 0x0d
  if (code >= 0x7f && code <= 0x9f) return true
  return (code >= 0x2028 && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069) || (code >= 0xd800 && code <= 0xdfff)
}

const anyText = fc.oneof(
  fc.string({ unit: "binary" }),
  fc
    .array(fc.oneof(fc.integer({ min: 0, max: 0xffff }), fc.integer({ min: 0, max: 0xff })))
    .map((units) => String.fromCharCode(...units)),
  fc.array(fc.constantFrom("\r", "\n", "\x1b[2J", "\u009b", "\ud83d", "\ude00", "\u202e", "a")).map((p) => p.join("")),
)

describe("laws", () => {
  it("leaves nothing that steers, and a carriage return only before a line feed", () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const shown = terminalText(text)
        expect([...shown].filter((character) => steers(character.codePointAt(0)!))).toEqual([])
        expect(shown).not.toMatch(/\r(?!\n)/)
        expect(terminalText(shown)).toBe(shown)
      }),
      { numRuns: 2000 },
    )
  })

  it("keeps every other character, in its place", () => {
    const plain = (text: string) =>
      text.replace(/\\u([0-9a-f]{4})/g, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16)))
    fc.assert(
      fc.property(anyText, (text) => {
        expect(plain(terminalText(text))).toBe(plain(text))
      }),
    )
  })
})

it.each([
  ["a sequence of colours", "\x1b[31mred", "\\u001b[31mred"],
  ["the same in one character of C1", "\u009b31mred", "\\u009b31mred"],
  ["a title and a bell", "\x1b]0;title\x07", "\\u001b]0;title\\u0007"],
  ["a line that is written over", "harmless\rrm -rf", "harmless\\u000drm -rf"],
  ["backspaces", "no\b\byes", "no\\u0008\\u0008yes"],
  ["text turned round", "\u202egpj.exe", "\\u202egpj.exe"],
  ["half a character", "\ud83d!", "\\ud83d!"],
])("%s is spelled out", (_, text, shown) => expect(terminalText(text)).toBe(shown))

it.each(["Once upon a time\n\tthere was", "a\r\nb", "naïve 😀 日本 👩‍👩‍👧", "שלום\u200f!", "\ufeffx", "\\u001b"])(
  "%j comes through",
  (text) => expect(terminalText(text)).toBe(text),
)
