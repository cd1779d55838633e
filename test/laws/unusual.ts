/**
 * Programs whose data are no ordinary numbers, and what is easily done wrong with them.
 *
 *   x [1 −2 3 0], seed 7   →   x [1 NaN 3 −∞]      in some buffers, in some elements; sums of what is left stay exact
 *
 * Folds that wait for one another are drawn apart: scores and values of any kind in one small program, before and after online has joined them.
 */
import fc from "fast-check"
import { interpretKernel } from "../../compiler/interpret/kernel.js"
import { type Memory, writeElement } from "../../compiler/interpret/memory.js"
import { apply, literal, symbol, variable } from "../../compiler/ir/expression.js"
import { type Kernel, written } from "../../compiler/ir/kernel.js"
import { max, sum } from "../../compiler/ir/monoid.js"
import type { Expression } from "../../compiler/ir/nodes.js"
import { largest } from "../../compiler/ir/operations.js"
import { nodesOf } from "../../compiler/ir/query.js"
import * as ir from "../../compiler/ir/tensor.js"
import { scrambled } from "./choices.js"
import { execute, fuseProgram, simplified } from "./execute.js"
import { buildFolds, foldRecipes, foldSymbols } from "./folds.js"
import { buildProgram, type LawProgram, recipes } from "./generate.js"
import { kernelMemories } from "./kernel-memories.js"
import { buildKernel, kernelRecipes } from "./kernels.js"
import { copied, type Effect, effectOf, type Memories } from "./loops.js"
import type { Rules } from "./mutate.js"
import { scheduleNumbers } from "./schedules.js"

/** Mostly of one kind, for one NaN hides what else is wrong. */
const kinds: readonly (readonly number[])[] = [
  [Number.NEGATIVE_INFINITY],
  [Number.NaN],
  [Number.POSITIVE_INFINITY],
  [Number.NEGATIVE_INFINITY, -0],
  [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -0],
]

/** Some elements of a memory become special; `among` of some kinds. */
export function spoil(
  { size, values }: Memory,
  seed: number,
  write: (at: number, value: number) => void,
  among = kinds,
): void {
  const next = scrambled(seed)
  const kind = among[next() % among.length]!
  // All of the first ones, up to any place, or some here and there.
  const first = next() % 2 === 0 ? next() % (size + 1) : 0
  const often = first > 0 ? 0 : [0, 3, 8, 20, 1][next() % 5]!
  for (let i = 0; i < size; i++)
    if ((i < first || (often > 0 && next() % often === 0)) && !Number.isNaN(values[i]!))
      write(i, kind[next() % kind.length]!)
}

/** What a kernel reads and does not write, with special values in it. */
function spoiled(kernel: Kernel, buffers: Memories, seed: number): Map<string, Memory> {
  const stored = written(kernel)
  const made = copied(buffers)
  // An infinity becomes the integer furthest out, of which no sums are exact.
  const converts = nodesOf(
    kernel.items.map((i) => i.value),
    "operation",
  ).some((x) => (x.operation === "toI32" || x.operation === "toU32") && x.args[0]!.dtype === "f32")
  const among = kinds.filter((kind) => !converts || kind.every(Number.isNaN))
  for (const [i, { name, dtype }] of kernel.buffers.entries()) {
    const memory = made.get(name)!
    if (dtype === "f32" && !stored.has(name))
      spoil(memory, seed + 31 * i, (at, value) => writeElement(memory, at, value), among)
  }
  return made
}

export const unusualCases = fc.record({
  recipe: recipes("exact", false),
  kernel: kernelRecipes,
  folds: foldRecipes,
  waiting: fc.record({
    rows: fc.integer({ min: 1, max: 5 }),
    keys: fc.constantFrom(1, 3, 4, 7, 16, 33, 70),
    seed: fc.nat(0xffff),
  }),
  kind: fc.constantFrom("program", "kernel", "folds", "waiting", "waiting"),
  chosen: fc.boolean(),
  schedule: scheduleNumbers,
})
export type Unusual = typeof unusualCases extends fc.Arbitrary<infer T> ? T : never

export interface Found {
  readonly effect: Effect
  readonly symbols: ReadonlyMap<string, number>
}

/** The kernels of a case, with what they do to special values. `after` is what a program becomes first. */
export function effectsOf(c: Unusual, after: (p: LawProgram) => LawProgram): readonly Found[] {
  if (c.kind === "kernel") {
    const kernel = buildKernel(c.kernel)
    const symbols = new Map([["seq", c.kernel.seq]])
    const memories = spoiled(kernel, kernelMemories(kernel, c.kernel.seed), c.kernel.seed)
    return [{ effect: effectOf(kernel, memories, symbols, "exact", true), symbols }]
  }
  if (c.kind === "folds") {
    const { kernel, regime } = buildFolds(c.folds)
    if (regime !== "exact") return []
    const symbols = foldSymbols(c.folds)
    const memories = spoiled(kernel, kernelMemories(kernel, c.folds.seed), c.folds.seed)
    return [{ effect: effectOf(kernel, memories, symbols, regime, true), symbols }]
  }
  const found: Found[] = []
  const isProgram = c.kind === "program"
  const p = isProgram ? simplified(buildProgram(c.recipe)) : after(waitingProgram(c.waiting))
  execute(fuseProgram(p), p, (kernel, buffers) => {
    // Of the others, scores and values are special, and what is made of them follows.
    const given = isProgram || found.length === 0 ? spoiled(kernel, buffers, p.seed + found.length) : copied(buffers)
    found.push({ effect: effectOf(kernel, given, p.values, p.regime, true), symbols: p.values })
    interpretKernel(kernel, buffers, p.values)
  })
  return found
}

/** Σ share · v and the logarithm of Σ exp, of scores that lie in memory. */
export function waitingProgram({ rows, keys, seed }: Unusual["waiting"]): LawProgram {
  const [row, dim] = [
    { name: "row", extent: literal(rows) },
    { name: "dim", extent: literal(4) },
  ]
  const key = { name: "key", extent: symbol("seq", 70, 40) }
  const input = (name: string, axes: readonly ir.Axis[]) =>
    ir.input(
      `inputs.${name}`,
      "input",
      axes,
      "f32",
      "f32",
      axes.map((a) => (a === key ? 70 : a === row ? rows : 4)),
    )
  const [s, v] = [input("s", [row, key]), input("v", [key, dim])]
  const [a, b] = [variable("$0", "f32"), variable("$1", "f32")]
  const pivot = ir.reduce(max, "key", [s])
  const weight = ir.map(apply("exp", apply("sub", a, b)), [s, pivot])
  const total = ir.reduce(sum, "key", [weight])
  const share = ir.map(apply("div", a, b), [weight, total])
  const outputs = [
    ir.reduce(sum, "key", [ir.map(apply("mul", a, b), [share, v])]),
    ir.map(apply("add", a, apply("log", b)), [pivot, total]),
    total,
  ]
  return {
    regime: "analytic",
    outputs,
    updates: [],
    inputs: [s, v],
    symbols: [{ name: "seq", max: 70 }],
    values: new Map([["seq", keys]]),
    seed,
    magnitude: 4,
  }
}

/** The sum over a row in which no score has moved the pivot is left at 0. */
export const withoutWhole = (t: ir.Tensor): ir.Tensor | undefined => {
  if (t.kind !== "map" || t.args[0]!.kind !== "reduce" || t.args[0]!.monoid.kind !== "online") return undefined
  const [sumOf] = t.args
  return t.args.length === 2 && t.args[1]!.kind === "reduce" && t.args[1]!.component === 0 ? sumOf : undefined
}

const isOperation = (x: { readonly kind: string }, name: string) =>
  x.kind === "operation" && (x as { operation?: string }).operation === name

/** A loose maximum as one that drops NaN, as one that keeps it, and as one that does either: nothing that is stored may tell. */
export const looseMaxima: readonly ((a: Expression, b: Expression) => Expression)[] = [
  (a, b) => apply("looseMax", a, b),
  (a, b) => apply("select", apply("isNaN", a), b, apply("select", apply("isNaN", b), a, apply("max", a, b))),
  (a, b) => apply("max", a, b),
  (a, b) => apply("looseMax", b, a),
]

/** One small wrong rewrite of loops each. */
export const unusualFaults: Readonly<Record<string, Rules>> = {
  "a maximum drops NaN": {
    expression: (x) => {
      if (x.kind !== "operation" || x.operation !== "max" || x.dtype !== "f32") return undefined
      const [p, q] = x.args as [typeof x, typeof x]
      return apply("select", apply("lt", p, q), q, apply("select", apply("isNaN", p), q, p))
    },
  },
  "a minimum takes its second operand where they do not compare": {
    expression: (x) => {
      if (x.kind !== "operation" || x.operation !== "min" || x.dtype !== "f32") return undefined
      const [p, q] = x.args as [typeof x, typeof x]
      return apply("select", apply("lt", p, q), p, q)
    },
  },
  "the identity of a maximum is the smallest finite number": {
    statement: (s) =>
      s.kind === "let" && s.mutable && s.value.kind === "literal" && s.value.value === Number.NEGATIVE_INFINITY
        ? [{ ...s, value: literal(-largest, "f32") }]
        : undefined,
  },
  "NaN is ranked as any number": {
    expression: (x) => (isOperation(x, "isNaN") ? literal(0, "bool") : undefined),
  },
  "a pivot of −∞ is taken from a score": {
    expression: (x) =>
      x.kind === "operation" &&
      x.operation === "looseMax" &&
      x.args[1]!.kind === "literal" &&
      x.args[1].value === -largest
        ? x.args[0]
        : undefined,
  },
}
