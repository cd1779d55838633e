/** Programs whose data are no ordinary numbers: every function of an author, every fold, and what is made of them. */
import {
  add,
  argmax,
  at,
  causal,
  defineProgram,
  dot,
  extent,
  input,
  iota,
  map,
  max,
  min,
  scan,
  silu,
  softmax,
  sum,
  top,
  upTo,
} from "../../dsl/index.js"

const n = upTo(64)

/** Functions of one number. */
export const unary = defineProgram({
  inputs: { x: input({ n }) },
  outputs: {
    negated: ["n"],
    abs: ["n"],
    sign: ["n"],
    floor: ["n"],
    ceil: ["n"],
    trunc: ["n"],
    round: ["n"],
    sqrt: ["n"],
    exp: ["n"],
    log: ["n"],
    sin: ["n"],
    cos: ["n"],
    tanh: ["n"],
    silu: ["n"],
    clip: ["n"],
    relu: ["n"],
    below: ["n"],
    literals: ["n"],
    unequal: ["n"],
    chosen: ["n"],
  },
  run: ({ x }) => ({
    negated: map((v) => -v, x),
    abs: map((v) => Math.abs(v), x),
    sign: map((v) => Math.sign(v), x),
    floor: map((v) => Math.floor(v), x),
    ceil: map((v) => Math.ceil(v), x),
    trunc: map((v) => Math.trunc(v), x),
    round: map((v) => Math.round(v), x),
    sqrt: map((v) => Math.sqrt(v), x),
    exp: map((v) => Math.exp(v), x),
    log: map((v) => Math.log(v), x),
    sin: map((v) => Math.sin(v), x),
    cos: map((v) => Math.cos(v), x),
    tanh: map((v) => Math.tanh(v), x),
    silu: map((v) => silu(v), x),
    clip: map((v) => Math.max(-0.5, Math.min(1, v)), x),
    relu: map((v) => Math.max(0, v), x),
    below: map((v) => Math.min(-0, v), x),
    literals: map((v) => (v === Infinity ? NaN : v === -Infinity ? Infinity : v < 0 ? -Infinity : 0), x),
    // biome-ignore lint/suspicious/noSelfCompare: NaN differs from itself
    unequal: map((v) => (v !== v ? 1 : v > 0 || v <= 0 ? 2 : 3), x),
    chosen: map((v) => (v < 1 ? 1 / v : v), x),
  }),
})

/** Functions of two numbers. */
export const binary = defineProgram({
  inputs: { x: input({ n }), y: input({ n }) },
  outputs: {
    sum: ["n"],
    difference: ["n"],
    product: ["n"],
    quotient: ["n"],
    remainder: ["n"],
    power: ["n"],
    smaller: ["n"],
    larger: ["n"],
    less: ["n"],
    atMost: ["n"],
    equal: ["n"],
    unequal: ["n"],
  },
  run: ({ x, y }) => ({
    sum: map((a, b) => a + b, x, y),
    difference: map((a, b) => a - b, x, y),
    product: map((a, b) => a * b, x, y),
    quotient: map((a, b) => a / b, x, y),
    remainder: map((a, b) => a % b, x, y),
    power: map((a, b) => a ** b, x, y),
    smaller: map((a, b) => Math.min(a, b), x, y),
    larger: map((a, b) => Math.max(a, b), x, y),
    less: map((a, b) => (a < b ? 1 : 0), x, y),
    atMost: map((a, b) => (a <= b ? 1 : 0), x, y),
    equal: map((a, b) => (a === b ? 1 : 0), x, y),
    unequal: map((a, b) => (a !== b ? 1 : 0), x, y),
  }),
})

/** Folds of a row, and softmax, which waits for two of them. */
export const folds = defineProgram({
  inputs: { x: input({ row: upTo(16), n }) },
  outputs: {
    total: ["row"],
    largest: ["row"],
    smallest: ["row"],
    best: ["row"],
    value: ["row", "slot"],
    index: ["row", "slot"],
    highest: ["row", "n"],
    soft: ["row", "n"],
    logarithm: ["row"],
  },
  run({ x }) {
    const { value, index } = top(x, "n", 3, "slot")
    const m = max(x, "n")
    return {
      total: sum(x, "n"),
      largest: m,
      smallest: min(x, "n"),
      best: argmax(x, "n"),
      value,
      index,
      highest: scan("max", x, "n"),
      soft: softmax(x, "n"),
      logarithm: add(
        m,
        map(
          (t) => Math.log(t),
          sum(
            map((v, s) => Math.exp(v - s), x, m),
            "n",
          ),
        ),
      ),
    }
  },
})

/** Folds of nothing have a value, but for those that choose. */
export const empty = defineProgram({
  inputs: { x: input({ n: upTo(8) }) },
  outputs: { total: [], largest: [], smallest: [], product: [] },
  run: ({ x }) => ({
    total: sum(x, "n"),
    largest: max(x, "n"),
    smallest: min(x, "n"),
    product: map(
      (s) => s * Infinity,
      sum(
        map((v) => v * Infinity, x),
        "n",
      ),
    ),
  }),
})

/** Integers at the ends of their range. */
export const integers = defineProgram({
  inputs: { i: input({ n }, "i32"), u: input({ n }, "u32") },
  outputs: { largest: [], most: [], smallest: [] },
  run: ({ i, u }) => ({ largest: max(i, "n"), most: max(u, "n"), smallest: min(i, "n") }),
})

/** A choice by data. */
export const chosen = defineProgram({
  inputs: { x: input({ n }), label: input({ n }) },
  outputs: { label: [] },
  run: ({ x, label }) => ({ label: at(label, "n", argmax(x, "n")) }),
})

/** Shares of what a query may see, of scores that are computed: one fold that runs once, in chunks. */
export const attending = defineProgram({
  inputs: {
    q: input({ row: upTo(40), dim: 4 }),
    k: input({ key: upTo(2048), dim: 4 }),
    v: input({ key: upTo(2048), out: 8 }),
  },
  outputs: { y: ["row", "out"] },
  run({ q, k, v }) {
    const scores = causal(dot(q, k, "dim"), iota("row", extent(q, "row"), 0, "position"), "key")
    return { y: dot(softmax(scores, "key"), v, "key") }
  },
})
