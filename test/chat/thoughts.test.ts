/** Thought and answer apart, wherever the text is cut. */
import fc from "fast-check"
import { expect, test } from "vitest"
import { createThoughts } from "../../runtime/chat/thoughts.js"
import { law } from "../laws/settings.js"

function told(prompt: string, parts: readonly string[]): { thinking: string; text: string } {
  const thoughts = createThoughts(prompt)
  const all = [...parts.map((part) => thoughts.push(part)), thoughts.flush()]
  return { thinking: all.map((p) => p.thinking).join(""), text: all.map((p) => p.text).join("") }
}

const prompt = "<|im_start|>assistant\n"
const cases: readonly (readonly [string, string, string, string])[] = [
  [prompt, "<think>\nIt is\n\nwarm.\n</think>\n\nYes.\n", "It is\n\nwarm.", "Yes.\n"],
  [prompt, "<think>\n\n</think>\n\nYes.", "", "Yes."],
  [prompt, "\n<think>a</think>b", "a", "b"],
  [prompt, "Yes. <think>no</think>", "", "Yes. <think>no</think>"],
  [prompt, "<thin ice", "", "<thin ice"],
  [prompt, "<think>\ncut off <b>", "cut off <b>", ""],
  [prompt, "<think>a</thinx>b</think>\nc", "a</thinx>b", "c"],
  [prompt, "", "", ""],
  [prompt, "  <th", "", "  <th"],
  [`${prompt}<think>\n`, "opened\n</think>\n\ny", "opened", "y"],
  [`${prompt}<think>\n\n</think>\n\n`, "plain", "", "plain"],
]

test.each(cases)("%j and %j", (before, text, thinking, answer) => {
  expect(told(before, [text])).toEqual({ thinking, text: answer })
  expect(told(before, [...text])).toEqual({ thinking, text: answer })
})

test("cuts change nothing", () => {
  const piece = fc.constantFrom("<think>", "</think>", "\n", "<", "/", "think", ">", "a ", "</thi", "<thin")
  const given = fc.record({
    pieces: fc.array(piece, { maxLength: 12 }),
    cuts: fc.array(fc.nat(60), { maxLength: 6 }),
    opened: fc.boolean(),
  })
  law("thoughts in pieces", given, 500, ({ pieces, cuts, opened }) => {
    const text = pieces.join("")
    const places = [...new Set([0, ...cuts.map((c) => Math.min(c, text.length)), text.length])].sort((a, b) => a - b)
    const parts = places.slice(1).map((to, i) => text.slice(places[i], to))
    const before = opened ? "<think>\n" : ""
    expect(told(before, parts)).toEqual(told(before, [text]))
  })
})
