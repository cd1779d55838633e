/**
 * What the editor underlines and says when axes or value types do not fit, and that what fits is let through with the exact type.
 */
import { describe, expect, test } from "vitest"
import { check, type Finding, sortedUnions } from "./check.js"

type Case = readonly [claim: string, program: string, ...findings: Finding[]]

const argument = (text: string, given: string, wanted: string): Finding => ({
  text,
  message: sortedUnions(`Argument of type '${given}' is not assignable to parameter of type '${wanted}'.`),
})
const value = (text: string, given: string, wanted: string): Finding => ({
  text,
  message: sortedUnions(`Type '${given}' is not assignable to type '${wanted}'.`),
})

const refused: readonly Case[] = [
  ["a planted error is found", "const y: string = x", value("y", 'Tensor<"seq" | "embed", "f32">', "string")],

  ["dot over an axis of one side only", 'dot(q, past, "rep")', argument('"rep"', '"rep"', '"kv" | "dim"')],
  ["dot over no axis", "dot(x, w)", { text: "dot", message: "Expected at least 3 arguments, but got 2." }],
  [
    "dot without a shared axis",
    'dot(x, past, "embed")',
    argument('"embed"', '"embed"', '"the arguments share no axis"'),
  ],
  [
    "a forgotten rename: no key axis to mask",
    'causal(dot(q, k, "dim"), position, "key")',
    argument('"key"', '"key"', '"seq" | "kv" | "rep"'),
  ],

  [
    "an axis is missing",
    'const y: Tensor<"seq" | "embed" | "rep"> = x',
    value("y", 'Tensor<"seq" | "embed", "f32">', 'Tensor<"seq" | "embed" | "rep", "f32">'),
  ],
  [
    "an axis is one too many",
    'const y: Tensor<"seq"> = x',
    value("y", 'Tensor<"seq" | "embed", "f32">', 'Tensor<"seq", "f32">'),
  ],
  [
    "map of two tensors of which neither has all axes",
    "map((a, b) => a + b, x, hidden)",
    argument(
      "hidden",
      'Tensor<"seq" | "hidden", "f32">',
      "\"neither argument has all axes: 'embed' is missing on the right, 'hidden' on the left\"",
    ),
  ],
  [
    "map of three tensors of which none has all axes",
    "map((a, b, c) => a + b + c, x, hidden, bias)",
    argument("x", 'Tensor<"seq" | "embed", "f32">', "\"no argument has all axes: 'hidden' is missing here\""),
  ],
  [
    "a helper over any axes that forgets to contract",
    'function wrong<A extends string>(x: Tensor<A | "dim">, y: Tensor<"dim" | "out">) { return map((a, b) => a * b, x, y) }',
    {
      text: "x, y",
      message:
        'Argument of type \'[Tensor<"dim" | A, "f32">, Tensor<"dim" | "out", "f32">]\' is not assignable to parameter of type \'Covered<readonly [Tensor<"dim" | A, "f32">, Tensor<"dim" | "out", "f32">]>\'.',
    },
  ],
  [
    "a residual of other axes",
    "add(x, hidden)",
    argument(
      "hidden",
      'Tensor<"seq" | "hidden", "f32">',
      "\"neither argument has all axes: 'embed' is missing on the right, 'hidden' on the left\"",
    ),
  ],

  [
    "a rename onto another axis",
    'rename(x, "seq", "embed")',
    argument('"embed"', '"embed"', "\"axis 'embed' exists already\""),
  ],
  ["a rename of no axis", 'rename(x, "batch", "key")', argument('"batch"', '"batch"', '"seq" | "embed"')],
  [
    "a merge onto another axis",
    'merge(q, ["kv", "rep"], "dim")',
    argument('"dim"', '"dim"', "\"axis 'dim' exists already\""),
  ],
  [
    "a split onto another axis",
    'split(x, "embed", { seq: 2, head: 4 })',
    value("seq", "number", "\"axis 'seq' exists already\""),
  ],
  [
    "a slot onto another axis",
    'top(scores, "expert", 2, "seq")',
    argument('"seq"', '"seq"', "\"axis 'seq' exists already\""),
  ],

  [
    "the wrong axis is indexed",
    'const { index } = top(scores, "expert", 2, "slot"); at(experts, "hidden", index)',
    argument("index", 'Index<"seq" | "slot", "expert">', 'Index<"seq" | "slot", "hidden">'),
  ],
  [
    "tokens index no experts",
    'at(experts, "expert", tokens)',
    argument("tokens", 'Index<"seq", "vocab">', 'Index<"seq", "expert">'),
  ],
  [
    "whole numbers are no index until it is said of what",
    'at(experts, "expert", cast(words, "i32"))',
    argument('cast(words, "i32")', 'Tensor<"seq", "i32">', 'Index<"seq", "expert">'),
  ],
  [
    "a forgotten rename before append",
    'append(past, "key", k)',
    argument("k", 'Tensor<"seq" | "kv" | "dim", "f32">', 'Tensor<"key" | "kv" | "dim", "f32">'),
  ],
  [
    "a state is assigned other axes",
    "assign(state({ vocab: 4 }), x)",
    argument("x", 'Tensor<"seq" | "embed", "f32">', 'Tensor<"vocab", "f32">'),
  ],

  [
    "a program must give what it declares",
    `defineProgram({
      inputs: { x: input({ a: upTo(9), b: 3 }) },
      outputs: { total: ["a"] },
      run: ({ x }) => ({ total: sum(x, "a") }),
    })`,
    value("total", 'Tensor<"b", "f32">', 'Tensor<"a", ValueType>'),
  ],
  [
    "a window whose axis is there",
    'windows(x, "seq", 3, "embed")',
    argument('"embed"', '"embed"', "\"axis 'embed' exists already\""),
  ],

  ["softmax over no axis", 'softmax(scores, "key")', argument('"key"', '"key"', '"seq" | "expert"')],
  [
    "a norm weight with more axes",
    'rmsNorm(x, w, "embed", 1e-6)',
    argument("w", 'Tensor<"embed" | "out", "f32">', 'Tensor<"seq" | "embed", "f32">'),
  ],
  [
    "rotation by something else than positions",
    'rope(k, tokens, "dim", rotary)',
    argument("tokens", 'Index<"seq", "vocab">', 'Index<"seq", "position">'),
  ],

  [
    "bf16 is a storage and no value type",
    'type Weight = Tensor<"embed", "bf16">',
    { text: '"bf16"', message: "Type '\"bf16\"' does not satisfy the constraint 'ValueType'." },
  ],
  [
    "a truth value is no number",
    "map((m) => m + 1, mask)",
    { text: "m + 1", message: "Operator '+' cannot be applied to types 'boolean' and 'number'." },
  ],
  ["dot is for f32", 'dot(x, words, "seq")', argument("words", 'Tensor<"seq", "u32">', 'Tensor<"seq", "f32">')],
  [
    "a model must give logits over the vocabulary",
    `defineModel({
      families: ["tiny"],
      config: z.object({ n: z.int() }),
      facts: (c) => ({ context: c.n, vocabulary: c.n, endTokens: [] }),
      parameters: (c) => ({ table: weight("table", { vocab: c.n }, { embed: 3 }) }),
      state: () => ({}),
      forward: (_c, w, tokens, past) => ({ logits: at(w.table, "vocab", tokens), past }),
    })`,
    value("logits", 'Tensor<"seq" | "embed", "f32">', 'Tensor<"seq" | "vocab", "f32">'),
  ],
]

const accepted: readonly (readonly [claim: string, program: string])[] = [
  [
    "contractions over one and several axes",
    'exactly<"seq" | "kv" | "rep" | "key">(dot(q, past, "dim")); exactly<never>(dot(hidden, hidden, "seq", "hidden"))',
  ],
  ["numbers of one type keep it", 'exactly<"seq", "i32">(map((p) => p + 1, position))'],
  ["a mask beside numbers does not count", 'exactly<"seq", "u32">(map((n, m) => (m ? n : 0), words, mask))'],
  ["mixed numbers give f32", 'exactly<"seq" | "embed">(map((p, v) => toF32(p) * v, position, x))'],
  ["a mask alone gives f32", 'exactly<"seq">(map((m) => (m ? 1 : 0), mask))'],
  ["a comparison gives bool", 'exactly<"seq", "bool">(map((p) => p > 1, position))'],
  ["another value type by name", 'exactly<"seq" | "embed", "u32">(mapTo("u32", (v) => bits(v), x))'],
  ["broadcasting in either order", 'exactly<"seq" | "embed">(add(bias, x)); exactly<"seq" | "embed">(add(x, bias))'],
  ["outer unites axes", 'exactly<"seq" | "embed" | "hidden">(outer((a, b) => a * b, x, hidden))'],
  [
    "outer of three",
    'exactly<"seq" | "embed" | "hidden" | "out">(outer((a, b, c) => a * b + c, x, hidden, w)); exactly<"seq" | "embed" | "hidden", "i32">(outerTo("i32", (a, b) => toI32(a > b), x, hidden))',
  ],
  ["where", 'exactly<"seq" | "embed">(where(mask, x, bias)); exactly<"seq", "u32">(where(mask, words, words))'],
  [
    "index maps",
    'exactly<"seq" | "a" | "b">(split(x, "embed", { a: 2, b: 3 })); exactly<"seq">(merge(x, ["seq", "embed"], "seq"))',
  ],
  [
    "a gather takes over the axes of the index",
    'exactly<"seq" | "embed">(at(weight("t", { vocab: 9 }, { embed: 4 }), "vocab", tokens))',
  ],
  [
    "the experts of each token",
    'exactly<"seq" | "slot" | "embed" | "hidden">(at(experts, "expert", top(scores, "expert", 2, "slot").index))',
  ],
  ["neighbours", 'exactly<"seq" | "embed" | "tap">(windows(x, "seq", 3, "tap"))'],
  [
    "a program",
    `const program = defineProgram({
      inputs: { x: input({ a: upTo(9), b: 3 }), n: input({ a: upTo(9) }, "i32") },
      outputs: { total: [], mask: ["a", "b"] },
      run({ x, n }) {
        exactly<"a" | "b">(x)
        exactly<"a", "i32">(n)
        return { total: sum(sum(x, "a"), "b"), mask: map((v, k) => v > toF32(k), x, n) }
      },
    })`,
  ],
  [
    "stacked weights",
    'exactly<"expert" | "kv" | "dim" | "out">(stack("expert", 3, () => weight("w", { kv: 2, dim: 4 }, { out: 5 })))',
  ],
  [
    "a helper over any axes",
    "function twice<A extends string>(x: Tensor<A>): Tensor<A> { return map((v) => v * 2, x) }",
  ],
  [
    "a helper over two tensors of the same axes, or of integers",
    `function plus<A extends string>(x: Tensor<A>, y: Tensor<A>): Tensor<A> { return add(x, y) }
    function next<A extends string>(x: Tensor<A, "i32">): Tensor<A, "i32"> { return map((v) => v + 1, x) }
    function real<A extends string, D extends "f32" | "i32">(x: Tensor<A, D>): Tensor<A> { return mapTo("f32", (v) => toF32(v), x) }`,
  ],
  [
    "a helper over one axis by name beside any others",
    `function unit<A extends string>(x: Tensor<A | "dim">): Tensor<A | "dim"> {
      return map((v, s) => v / Math.sqrt(s), x, dot(x, x, "dim"))
    }
    function cosine<A extends string, B extends string>(x: Tensor<A | "dim">, y: Tensor<B | "dim">) {
      return dot(unit(x), unit(y), "dim")
    }
    exactly<"seq" | "kv" | "key" | "rep">(cosine(q, past))`,
  ],
  [
    "a helper over an axis that its caller names",
    `function centre<A extends string, K extends A>(x: Tensor<A>, axis: K): Tensor<A> {
      return map((total, v) => v - total, sum(x, axis), x)
    }
    exactly<"seq" | "embed">(softmax(centre(x, "embed"), "seq"))`,
  ],
  [
    "a helper that gives less axes or more",
    `function total<A extends string>(x: Tensor<A | "dim">): Tensor<Exclude<A, "dim">> { return map((v) => v / 2, sum(x, "dim")) }
    function distance<A extends string, B extends string>(x: Tensor<A | "dim">, y: Tensor<B | "dim">): Tensor<Exclude<A | B, "dim">> {
      return sum(outer((a, b) => (a - b) ** 2, x, y), "dim")
    }
    exactly<"seq" | "kv" | "rep">(total(q))
    exactly<"seq" | "kv" | "key">(distance(k, past))`,
  ],
]

const programs = [...refused, ...accepted].map(([, program]) => program)
const found = check(programs)

describe("refused", () => {
  test.each(refused.map((c, i) => [c[0], i] as const))("%s", (_claim, i) => {
    const [, , ...findings] = refused[i]!
    expect(found[i]).toEqual(findings)
  })
})

describe("accepted", () => {
  test.each(accepted.map((c, i) => [c[0], i] as const))("%s", (_claim, i) => {
    expect(found[refused.length + i]).toEqual([])
  })
})
