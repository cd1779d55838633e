/** Random kernels: well formed, and their loops store what they store under any schedule that is not refused. */
import fc from "fast-check"
import { expect, test } from "vitest"
import { allocateBuffer, type Memory, writeElement } from "../../compiler/interpret/memory.js"
import { withTable } from "../../compiler/ir/expression.js"
import { type Kernel, type KernelBuffer, written } from "../../compiler/ir/kernel.js"
import { printKernel } from "../../compiler/ir/kernel-print.js"
import { verifyKernel } from "../../compiler/ir/kernel-verify.js"
import { roundTo } from "../../compiler/ir/operations.js"
import { canonical } from "../../compiler/passes/canonical.js"
import { scrambled } from "./choices.js"
import { poisoned } from "./execute.js"
import { buildKernel, type KernelRecipe, kernelRecipes } from "./kernels.js"
import { checkLoops, effectOf } from "./loops.js"
import { drawSchedule, scheduleNumbers } from "./schedules.js"
import { law } from "./settings.js"

/** Small integers in what is read, garbage in what is written. */
export function kernelMemories(kernel: Kernel, seed: number): Map<string, Memory> {
  const stored = written(kernel)
  const accumulated = new Set(
    kernel.items.flatMap((i) => (i.kind === "store" && i.monoid !== undefined ? [i.buffer] : [])),
  )
  return new Map(
    kernel.buffers.map((b, i) => [
      b.name,
      stored.has(b.name) && !accumulated.has(b.name) ? poisoned(b) : integers(b, seed + 17 * i),
    ]),
  )
}

function integers(b: KernelBuffer, seed: number): Memory {
  const memory = allocateBuffer(
    b.dtype,
    b.storage,
    b.shape.reduce((n, x) => n * x, 1),
  )
  const next = scrambled(seed)
  for (let i = 0; i < memory.size; i++)
    writeElement(memory, i, roundTo(b.dtype, b.dtype === "f32" || b.dtype === "i32" ? (next() % 9) - 4 : next() % 2))
  return memory
}

const cases = fc.record({ recipe: kernelRecipes, schedule: scheduleNumbers, canonical: fc.boolean() })
type Case = typeof cases extends fc.Arbitrary<infer T> ? T : never

const refusals = new Map<string, number>()
let tiled = 0

const made = ({ recipe, canonical: renamed }: Case): Kernel =>
  renamed ? canonical(buildKernel(recipe)).kernel : buildKernel(recipe)

function check(c: Case): void {
  withTable(() => {
    const kernel = made(c)
    expect(verifyKernel(kernel)).toEqual([])
    const symbols = new Map([["seq", c.recipe.seq]])
    const effect = effectOf(kernel, kernelMemories(kernel, c.recipe.seed), symbols, "exact")
    const refusal = checkLoops(effect, drawSchedule(kernel, c.schedule), symbols, c.recipe.seed)
    if (refusal === undefined) tiled++
    else refusals.set(refusal, (refusals.get(refusal) ?? 0) + 1)
  })
}

const describe = (c: Case): string =>
  withTable(() => `${printKernel(made(c))}\nseq = ${(c.recipe satisfies KernelRecipe).seq}`)

test("loops of random kernels store what the kernels store", () => {
  law("kernels", cases, 600, check, describe)
  console.log(`tiled ${tiled}, refused ${JSON.stringify([...refusals])}`)
})
