/** The help of a command lists what the command takes, and a word that is nearly a command is told. */
import { describe, expect, test } from "vitest"
import { type Flag, parse, switches } from "../../cli/arguments.js"
import { commandNames, flagsOf } from "../../cli/commands.js"
import { commandHelp, meantCommand, overview } from "../../cli/help.js"

/** A value that each flag takes. */
const values: Readonly<Partial<Record<Flag, string>>> = {
  device: "wasm",
  precision: "exact",
  accesses: "checked",
  target: "wasm",
  arch: "sm_90a,compute_80",
  tokens: "5,17",
  kernels: "k1",
  entries: "step",
  to: "q8_0",
  weights: "q4_k",
}

describe.each(commandNames)("%s", (name) => {
  const listed = [...commandHelp(name).matchAll(/^ {2}--([a-z-]+)/gm)].map(([, flag]) => flag as Flag)

  test("takes each flag that its help lists, and lists each that it takes", () => {
    expect(listed).toEqual(flagsOf(name))
    for (const flag of listed) {
      const args = switches.includes(flag) ? [`--${flag}`] : [`--${flag}`, values[flag] ?? "7"]
      expect(Object.keys(parse(args, flagsOf(name)).values)).toEqual([flag])
    }
  })

  test("stands in the overview", () => {
    expect(overview()).toMatch(new RegExp(`^  weft (\\[${name}\\]|${name}) `, "m"))
  })
})

test.each([
  ["benhc", "bench"],
  ["Bench", "bench"],
  ["genrate", "generate"],
  ["comiple", "compile"],
  ["explian", "explain"],
  ["logit", "logits"],
  ["tunes", "tune"],
  ["chekc", "check"],
  ["versoin", "version"],
  ["hello", undefined],
  ["time", undefined],
  ["The fox", undefined],
  ["Once", undefined],
  ["once", undefined],
  ["bench.", undefined],
  ["", undefined],
])("%j may be meant to be %j", (word, command) => {
  expect(meantCommand(word)).toBe(command)
})
