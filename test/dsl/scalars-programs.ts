/** Programs for the test of what scalar functions mean and of what is refused; loaded as authors' files are. */
import {
  defineProgram,
  input,
  iota,
  literal,
  map,
  mapTo,
  outer,
  outerTo,
  type Tensor,
  toF32,
  toI32,
  upTo,
  where,
} from "../../dsl/index.js"

const sizes = { x: input({ a: upTo(64) }), i: input({ b: upTo(64) }, "i32"), m: input({ c: upTo(64) }, "u32") }
const three = 3
const many = 4

const clamped = (v: number): number => {
  if (v > 6) return 6
  const twice = v * 2
  if (twice < -6) {
    return -6
  }
  return twice
}

export const meaning = defineProgram({
  inputs: sizes,
  outputs: {
    round: ["a"],
    finite: ["a"],
    clamped: ["a"],
    compared: ["a"],
    next: ["b"],
    signs: ["b"],
    third: ["b"],
    floor: ["b"],
    ceil: ["b"],
    or: ["b"],
    shifted: ["b"],
    unsigned: ["b"],
    halves: ["c"],
    low: ["c"],
    ones: ["c"],
    constants: ["c"],
    picked: ["b"],
    wrapped: ["b"],
    masked: ["b"],
  },
  run: ({ x, i, m }) => ({
    round: map((v) => Math.round(v), x),
    finite: mapTo("i32", (v) => (Number.isNaN(v) ? 0 : Number.isFinite(v) ? 1 : 2), x),
    clamped: map(clamped, x),
    compared: map((v) => (many > 3 ? v : 0), x),
    next: map((v) => v + 1, i),
    signs: map((v) => (v > 0 ? 1 : v < 0 ? -1 : 0), i),
    third: map((v) => Math.trunc(v / three), i),
    floor: map((v) => Math.floor(v / -3), i),
    ceil: map((v) => Math.ceil(v / 3), i),
    or: map((v) => (v / 3) | 0, i),
    shifted: map((v) => v >>> 28, i),
    unsigned: mapTo("u32", (v) => v >>> 0, i),
    halves: map((v) => (v / 2) >>> 0, m),
    low: map((v) => v >> 4, m),
    ones: mapTo("u32", () => 5, m),
    constants: map((v) => v ^ 0xffffffff ^ -1, m),
    picked: where(
      map((v) => v > 0, i),
      i,
      literal(7, "i32"),
    ),
    wrapped: map((v) => v * 100003 - 0x9e3779b9, i),
    masked: map((v) => v & 0xfffffff0, i),
  }),
})

/** One value from three tensors of which none has all axes, and a value type that the numbers do not have. */
export const united = defineProgram({
  inputs: { x: input({ a: upTo(4), b: 2 }), k: input({ c: 3 }, "i32"), s: input({ b: 2, c: 3 }) },
  outputs: { y: ["a", "b", "c"], hit: ["a", "c"] },
  run: ({ x, k, s }) => ({
    y: outer((v, n, w) => (n > 1 ? v : w), x, k, s),
    hit: outerTo("f32", (a, b) => toF32(a === b), iota("a", 2, 0, "place"), k),
  }),
})

const { x, i } = sizes
const refusedIn = (run: (given: { x: Tensor<"a">; i: Tensor<"b", "i32"> }) => Tensor<"a", "f32" | "i32">) =>
  defineProgram({ inputs: { x, i }, outputs: { y: ["a"] }, run: (given) => ({ y: run(given) }) })
const whole = (x: Tensor<"a">) => mapTo("i32", (v) => toI32(v), x)

export const quotient = refusedIn(({ x }) => map((v) => v / 3, whole(x)))
export const half = refusedIn(({ x }) => map((v) => (v > 1 ? 0.5 : 0), whole(x)))
export const beyond = refusedIn(({ x }) => map((v) => (v < 3e9 ? v : 0), whole(x)))
export const bitsOfFloat = refusedIn(({ x }) => map((v) => v | 0, x))
export const product = refusedIn(({ x }) => map((v) => Math.imul(v, 3), x))
export const power = refusedIn(({ x }) => map((v) => v ** 2, whole(x)))
export const mixed = refusedIn(({ x }) => map((v, w) => v + w, x, whole(x)))
export const claimed = refusedIn(({ x }) => map((v) => toI32(v), x))
export const outerClaimed = defineProgram({
  inputs: { k: input({ a: 3 }, "i32") },
  outputs: { y: ["a", "b"] },
  run: ({ k }) => ({ y: outer((a, b) => toF32(a === b), k, iota("b", 2, 0, "place")) }),
})
