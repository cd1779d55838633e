/**
 * shard: a kernel over parts of its buffers stores what the kernel stores, however small the parts and however few buffers it may bind;
 * so do the loops of its pieces.
 */
import fc from "fast-check"
import { expect, test } from "vitest"
import { compileKernel } from "../../compiler/compile-kernels.js"
import { interpretKernel } from "../../compiler/interpret/kernel.js"
import { interpretLoop } from "../../compiler/interpret/loop.js"
import { allocateBuffer, type Memory } from "../../compiler/interpret/memory.js"
import { withTable } from "../../compiler/ir/expression.js"
import { type Kernel, written } from "../../compiler/ir/kernel.js"
import { printKernel } from "../../compiler/ir/print/kernel.js"
import { verifyKernel } from "../../compiler/ir/verify/kernel.js"
import type { BindingParts } from "../../compiler/kernel/binding-parts.js"
import { divideKernel, type Piece } from "../../compiler/kernel/divide-kernel.js"
import { webgpuTarget } from "../../compiler/targets/target.js"
import { WeftError } from "../../runtime/errors.js"
import { Choices } from "./choices.js"
import { execute, fuseProgram } from "./execute.js"
import { buildProgram, recipes } from "./generate.js"
import { copied, effectOf, LawBroken, type Memories, wrongEffect } from "./loops.js"
import { law, patience } from "./settings.js"

const cases = fc.record({
  recipe: recipes("exact", false),
  numbers: fc.array(fc.nat(9999), { minLength: 4, maxLength: 12 }),
})
type Case = typeof cases extends fc.Arbitrary<infer T> ? T : never

const outcomes = { whole: 0, several: 0, turns: 0, refused: 0 }

/** Some of the buffers that are only read, in parts of a few rows. */
function drawParts(kernel: Kernel, choose: Choices): ReadonlyMap<string, BindingParts> {
  const stored = written(kernel)
  const parts = new Map<string, BindingParts>()
  for (const { name, shape } of kernel.buffers) {
    const extent = shape[0] ?? 1
    if (stored.has(name) || extent < 2 || choose.below(4) === 0) continue
    const rows = 1 + choose.below(extent - 1)
    parts.set(name, { rows, count: Math.ceil(extent / rows) })
  }
  return parts
}

/** The memories of a piece; parts of what is read are copies. */
function memoriesOf(
  { kernel, bindings }: Piece,
  whole: Kernel,
  parts: ReadonlyMap<string, BindingParts>,
  memories: Memories,
): Map<string, Memory> {
  return new Map(
    kernel.buffers.map((b, i) => {
      const { binding, part } = bindings[i]!
      const { name, shape } = whole.buffers[binding]!
      const memory = memories.get(name)!
      const divided = parts.get(name)
      if (divided === undefined) return [b.name, memory]
      const rowSize = shape.slice(1).reduce((n, s) => n * s, 1)
      const size = b.shape.reduce((n, s) => n * s, 1)
      const made = allocateBuffer(memory.dtype, memory.storage, size)
      made.values.set(memory.values.subarray(part * divided.rows * rowSize, part * divided.rows * rowSize + size))
      return [b.name, made]
    }),
  )
}

function checkPieces(kernel: Kernel, buffers: Memories, values: ReadonlyMap<string, number>, choose: Choices): void {
  const parts = drawParts(kernel, choose)
  const most = 4 + choose.below(5)
  const exact = effectOf(kernel, copied(buffers), values, "exact")
  let pieces: readonly Piece[]
  try {
    pieces = divideKernel(kernel, parts, most)
  } catch (error) {
    if (!(error instanceof WeftError && error.code === "compile/bindings")) throw error
    outcomes.refused++
    return
  }
  const keeps = pieces.some(({ kernel: k }) => k.items.some((i) => i.kind === "store" && readsItself(k, i.buffer)))
  outcomes[keeps ? "turns" : pieces.length > 1 ? "several" : "whole"]++
  for (const piece of pieces) {
    const problems = verifyKernel(piece.kernel)
    if (problems.length > 0) throw new LawBroken(problems.map((p) => p.message).join("; "))
    if (piece.kernel.buffers.length > most && pieces.length > 1)
      throw new LawBroken(`${piece.kernel.buffers.length} buffers`)
  }
  for (const language of ["kernel", "loop"] as const) {
    const memories = copied(exact.before)
    for (const piece of pieces) {
      const bound = memoriesOf(piece, kernel, parts, memories)
      if (language === "kernel") interpretKernel(piece.kernel, bound, values)
      else interpretLoop(compileKernel(piece.kernel, webgpuTarget, { verify: true }).loops, bound, values)
    }
    const problem = wrongEffect(exact, memories)
    if (problem !== undefined)
      throw new LawBroken(
        `${language}: ${problem}\n${printKernel(kernel)}\n${pieces.map((p) => printKernel(p.kernel)).join("\n")}`,
      )
  }
}

const readsItself = (kernel: Kernel, buffer: string): boolean =>
  printKernel(kernel)
    .split("\n")
    .some((line) => line.includes(`store ${buffer}[`) && line.split(" = ").slice(1).join(" = ").includes(`${buffer}[`))

const check = ({ recipe, numbers }: Case) =>
  withTable(() => {
    const p = buildProgram(recipe)
    const choose = new Choices(numbers)
    execute(fuseProgram(p), p, (kernel, buffers) => {
      checkPieces(kernel, buffers, p.values, choose)
      interpretKernel(kernel, buffers, p.values)
    })
  })

test(
  "pieces store what their kernel stores",
  () => {
    law("shard", cases, 250, check)
    console.log(JSON.stringify(outcomes))
    const all = Object.values(outcomes).reduce((a, b) => a + b, 0)
    expect(outcomes.several + outcomes.turns).toBeGreaterThan(all / 20)
    expect(outcomes.turns).toBeGreaterThan(0)
    expect(outcomes.refused).toBeLessThan(all * 0.3)
  },
  patience,
)
