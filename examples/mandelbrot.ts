/**
 * Mandelbrot's set: for each c of a grid the number of steps z ← z² + c, from z = c, until |z| > 2; those that never get there have `limit`.
 * Shows: `outer` makes a plane of two axes, axes broadcast by name, iteration is a loop of TypeScript, and `call` compiles its body once.
 */
import { call, defineProgram, input, map, mapTo, outer, type Tensor, toI32, upTo } from "../dsl/index.js"

const limit = 64

type Plane = Tensor<"row" | "column">
type Orbit = { readonly re: Plane; readonly im: Plane; readonly steps: Tensor<"row" | "column", "i32"> }

function step(z: Orbit, re: Tensor<"column">, im: Tensor<"row">): Orbit {
  const inside = map((x, y) => x * x + y * y <= 4, z.re, z.im)
  return {
    re: map((goes, x, y, c) => (goes ? x * x - y * y + c : x), inside, z.re, z.im, re),
    im: map((goes, x, y, c) => (goes ? 2 * x * y + c : y), inside, z.re, z.im, im),
    steps: map((goes, n) => n + toI32(goes), inside, z.steps),
  }
}

export const program = defineProgram({
  inputs: { re: input({ column: upTo(1024) }), im: input({ row: upTo(1024) }) },
  outputs: { steps: ["row", "column"] },
  run({ re, im }) {
    const x = outer((a, _b) => a, re, im)
    let z: Orbit = { re: x, im: outer((_a, b) => b, re, im), steps: mapTo("i32", () => 0, x) }
    for (let n = 0; n < limit; n++) z = call(step, z, re, im)
    return { steps: z.steps }
  },
})
