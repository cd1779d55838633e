/** Programs for the tests of what is refused, and of arrays in memory; loaded as authors' files are. */
import { defineProgram, extent, input, map, minus, pick, rename, slice, sum, upTo, windows } from "../../dsl/index.js"

const a = upTo(6)
const b = upTo(8)

/** Outputs in another order of axes than the input's, and one that is shorter. */
export const moved = defineProgram({
  inputs: { x: input({ a, b }), shift: input({ b }) },
  outputs: { moved: ["b", "a"], valid: ["b", "a"] },
  run: ({ x, shift }) => ({
    moved: map((v, s) => v + s, x, shift),
    valid: sum(windows(x, "a", 2, "tap"), "tap"),
  }),
})

export const open = defineProgram({
  inputs: { x: input({ a, b }) },
  outputs: { y: ["a", "b"] },
  run: ({ x }) => ({ y: map((v) => 2 * v, x) }),
})

const n = upTo(7, "n")
export const square = defineProgram({
  inputs: { x: input({ a: n, b: n }) },
  outputs: { upper: ["a", "b"], trace: [] },
  run({ x }) {
    const turned = rename(rename(rename(x, "a", "t"), "b", "a"), "t", "b")
    const diagonal = sum(
      map((v, w) => (v === w ? v : 0), x, turned),
      "b",
    )
    return { upper: map((v, w) => v < w, x, turned), trace: sum(diagonal, "a") }
  },
})

// What the types forbid, and what they do not see.
const x = { x: input({ a }) }
export const undeclared = defineProgram({
  inputs: x,
  outputs: { y: ["a"] },
  run: ({ x }) => ({ y: map((v) => v + 1, x), extra: x }),
})
export const absent = defineProgram({ inputs: x, outputs: { missing: ["a"] }, run: () => ({}) as never })
export const otherAxes = defineProgram({ inputs: x, outputs: { y: ["a", "b"] }, run: ({ x }) => ({ y: x as never }) })
export const idle = defineProgram({
  inputs: { ...x, idle: input({ b }) },
  outputs: { y: ["a"] },
  run: ({ x }) => ({ y: map((v) => v + 1, x) }),
})
export const twoMaxima = defineProgram({
  inputs: { x: input({ a: upTo(8) }), y: input({ a: upTo(9) }) },
  outputs: { z: ["a"] },
  run: ({ x, y }) => ({ z: map((v, w) => v + w, x, y) }),
})
export const wideWindow = defineProgram({
  inputs: { x: input({ a: 3 }) },
  outputs: { y: ["a", "tap"] },
  run: ({ x }) => ({ y: windows(x, "a", 4, "tap") }),
})

/** Places along an axis that each run makes as long as it likes. */
export const placed = defineProgram({
  inputs: { x: input({ a }) },
  outputs: { part: ["a"], third: [], last: [], pairs: [] },
  run: ({ x }) => ({
    part: slice(x, "a", 1, 3),
    third: pick(x, "a", 2),
    last: pick(x, "a", minus(extent(x, "a"), 1)),
    pairs: sum(sum(windows(x, "a", 2, "tap"), "tap"), "a"),
  }),
})
export const lastOnly = defineProgram({
  inputs: { x: input({ a }) },
  outputs: { last: [] },
  run: ({ x }) => ({ last: pick(x, "a", minus(extent(x, "a"), 1)) }),
})
export const pairsOnly = defineProgram({
  inputs: { x: input({ a }) },
  outputs: { pairs: [] },
  run: ({ x }) => ({ pairs: sum(sum(windows(x, "a", 3, "tap"), "tap"), "a") }),
})
