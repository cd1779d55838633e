/**
 * Histogram equalisation: let h[g] count the pixels of grey g and H[g] = h[0] + … + h[g]; grey g becomes ⌊255 · H[g] / H[255]⌋, so that all
 * greys are about equally frequent. Integers stay integers: i32 adds exactly, and Math.trunc of a quotient divides without a remainder.
 * Shows: value types, `iota` numbers an axis, `sum` and `max` fold one, `scan` is a running sum, `at` looks up.
 */
import { at, defineProgram, indexing, input, iota, map, max, outer, scan, sum, toI32, upTo } from "../dsl/index.js"

const levels = 256

export const program = defineProgram({
  inputs: { image: input({ pixel: upTo(1 << 20) }, "i32") },
  outputs: { count: ["grey"], equalised: ["pixel"] },
  run({ image }) {
    const hit = outer((p, g) => toI32(p === g), image, iota("grey", levels, 0, "grey"))
    const count = sum(hit, "pixel")
    const darker = scan("sum", count, "grey")
    const lookup = map((n, all) => Math.trunc(((levels - 1) * n) / all), darker, max(darker, "grey"))
    return { count, equalised: at(lookup, "grey", indexing(image, "grey")) }
  },
})
