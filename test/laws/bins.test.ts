/** Stores whose lanes add into bins: loops store what kernels store, wrong ones are found, and what has another form is refused. */
import { expect, test } from "vitest"
import { add, apply, literal, load, reduce, variable, withTable } from "../../compiler/ir/expression.js"
import type { Kernel } from "../../compiler/ir/kernel.js"
import { everyStatement } from "../../compiler/ir/loop-visit.js"
import { sum } from "../../compiler/ir/monoid.js"
import type { Expression } from "../../compiler/ir/nodes.js"
import { printKernel } from "../../compiler/ir/print/kernel.js"
import { describeUnproven, proveAccesses } from "../../compiler/ir/verify/accesses.js"
import { verifyKernel } from "../../compiler/ir/verify/kernel.js"
import { binnedFolds } from "../../compiler/tile/bins/find.js"
import { type BinsCase, binsCases, drawBins } from "./bins.js"
import { drawsOf, hunt } from "./hunt.js"
import { kernelMemories } from "./kernel-memories.js"
import { checkLoops, effectOf, isWrong, loopsOf } from "./loops.js"
import { changeLoops, type Rules } from "./mutate.js"
import { law, patience, runs } from "./settings.js"

const effect = (kernel: Kernel) => effectOf(kernel, kernelMemories(kernel, 5), new Map(), "exact")

test(
  "loops that add into bins store what the kernels store, and stay inside of them",
  () => {
    let made = 0
    const check = (c: BinsCase) =>
      withTable(() => {
        const { kernel, scheduled } = drawBins(c)
        expect(verifyKernel(kernel)).toEqual([])
        expect(checkLoops(effect(kernel), scheduled, new Map(), 5)).toBe(undefined)
        const loops = loopsOf(kernel, scheduled)
        if (typeof loops === "string") throw new Error(loops)
        expect(everyStatement(loops.tiled.body).some((s) => s.kind === "store" && s.adds)).toBe(true)
        expect(proveAccesses(loops.merged).unproven.map(describeUnproven)).toEqual([])
        made++
      })
    law("bins", binsCases, 80, check, (c) => withTable(() => printKernel(drawBins(c).kernel)))
    expect(made).toBeGreaterThanOrEqual(runs(80))
  },
  patience,
)

const faults: Readonly<Record<string, Rules>> = {
  "bins do not begin with 0": {
    statement: (s) => (s.kind === "store" && /^bins/.test(s.array) && s.adds !== true ? [] : undefined),
  },
  "a lane stores in place of adding": {
    statement: (s) => {
      if (s.kind !== "store" || s.adds !== true) return undefined
      const { adds: _, ...plain } = s
      return [plain]
    },
  },
  "an element is added twice": { statement: (s) => (s.kind === "store" && s.adds === true ? [s, s] : undefined) },
  "nobody waits for bins to be 0, or to be full": { statement: (s) => (s.kind === "barrier" ? [] : undefined) },
  "what lies beyond the bins is added": {
    statement: (s) => (s.kind === "if" && /^place|counted/.test(JSON.stringify(s.condition)) ? s.body : undefined),
  },
}

const draw = drawsOf(binsCases)

test.each(Object.keys(faults))("planted: %s", (name) =>
  hunt("bins", name, draw, (c, n) =>
    withTable(() => {
      const { kernel, scheduled } = drawBins(c)
      const made = loopsOf(kernel, scheduled)
      const wrong = typeof made === "string" ? undefined : changeLoops(made.tiled, faults[name]!, n % 3)
      return wrong && isWrong(effect(kernel), wrong, new Map(), 5)
    }),
  ),
)

test("only sums of integers whose elements count at one place each are taken so", () => {
  withTable(() => {
    const [x, k, bin] = [load("x", [variable("k")], "i32"), "k", variable("bin")]
    const sums = (lift: Expression) => binnedFolds(reduce(k, literal(8), sum, [lift]), "bin") !== undefined
    const same = apply("eq", x, bin)
    const either = (c: Expression, value: Expression) => apply("select", c, value, literal(0, value.dtype))
    expect(sums(either(same, x))).toBe(true)
    expect(sums(apply("toU32", same))).toBe(true)
    expect(sums(either(apply("and", apply("lt", x, literal(3)), same), x))).toBe(true)
    // Places of several bins, of f32, of what hangs on the bin, and of what counts elsewhere, too.
    expect(sums(either(apply("ge", x, bin), x))).toBe(false)
    expect(sums(either(same, load("w", [variable("k")], "f32")))).toBe(false)
    expect(sums(either(same, add(x, bin)))).toBe(false)
    expect(sums(either(apply("or", same, apply("lt", x, literal(3))), x))).toBe(false)
    expect(sums(either(apply("and", apply("lt", x, bin), same), x))).toBe(false)
    expect(sums(apply("select", same, x, literal(1)))).toBe(false)
    expect(sums(either(apply("eq", add(x, bin), bin), x))).toBe(false)
  })
})
