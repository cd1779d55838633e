/** Programs for the tests of prefixes; loaded as authors' files are. */
import { call, defineProgram, input, map, max, reverse, scan, sum, upTo } from "../../dsl/index.js"
import type { Tensor } from "../../dsl/tensor.js"

const n = upTo(5000)

/** Every fold over every type of number. */
export const kinds = defineProgram({
  inputs: { x: input({ n }), i: input({ n }, "i32"), u: input({ n }, "u32") },
  outputs: { sums: ["n"], largest: ["n"], smallest: ["n"], whole: ["n"], lowest: ["n"], wrapped: ["n"] },
  run: ({ x, i, u }) => ({
    sums: scan("sum", x, "n"),
    largest: scan("max", x, "n"),
    smallest: scan("min", x, "n"),
    whole: scan("sum", i, "n"),
    lowest: scan("min", i, "n"),
    wrapped: scan("sum", u, "n"),
  }),
})

const prefixes = (x: Tensor<"row" | "n" | "column">) => map((v) => v / 2, scan("sum", x, "n"))

/** An axis in the middle of memory, computed values, and what is made of prefixes. */
export const places = defineProgram({
  inputs: { x: input({ row: 2, n: upTo(600), column: 3 }) },
  outputs: {
    plain: ["row", "n", "column"],
    both: ["row", "n", "column"],
    computed: ["n", "row", "column"],
    turned: ["row", "column", "n"],
    folded: ["row", "column"],
    called: ["row", "n", "column"],
  },
  run: ({ x }) => {
    const plain = scan("sum", x, "n")
    const shares = map((v, m) => v - m, x, max(x, "row"))
    return {
      plain,
      both: scan("max", scan("sum", plain, "column"), "n"),
      computed: map((v) => 2 * v + 1, scan("sum", shares, "n")),
      turned: reverse(plain, "n"),
      folded: sum(scan("min", x, "n"), "n"),
      called: call(prefixes, call(prefixes, x)),
    }
  },
})

const fixed = (length: number) =>
  defineProgram({
    inputs: { x: input({ row: upTo(40), n: length }) },
    outputs: { y: ["row", "n"] },
    run: ({ x }) => ({ y: scan("sum", x, "n") }),
  })
export const [fixed16, fixed33, fixed273] = [fixed(16), fixed(33), fixed(273)]

const many = upTo(1 << 20)
export const million = defineProgram({
  inputs: { x: input({ n: many }) },
  outputs: { y: ["n"] },
  run: ({ x }) => ({ y: scan("sum", x, "n") }),
})
