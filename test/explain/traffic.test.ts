/** The analysis against the interpreter: of random kernels it never counts fewer elements than are touched, and mostly just those. */
import { expect, test } from "vitest"
import { trafficOf } from "../../compiler/explain/traffic.js"
import { interpretKernel } from "../../compiler/interpret/kernel.js"
import type { Memory } from "../../compiler/interpret/memory.js"
import { withTable } from "../../compiler/ir/expression.js"
import { type Kernel, written } from "../../compiler/ir/kernel.js"
import { printKernel } from "../../compiler/ir/print/kernel.js"
import { kernelMemories } from "../laws/kernel-memories.js"
import { buildKernel, type KernelRecipe, kernelRecipes } from "../laws/kernels.js"
import { law, patience, runs } from "../laws/settings.js"

/** A memory that notes which elements are read and written. */
function watched(memory: Memory, read: Set<number>, changed: Set<number>): Memory {
  const offset = (key: string | symbol) => (typeof key === "string" && /^\d+$/.test(key) ? Number(key) : undefined)
  const values = new Proxy(memory.values, {
    get(target, key) {
      const at = offset(key)
      if (at !== undefined) read.add(at)
      const value = Reflect.get(target, key, target)
      return typeof value === "function" ? value.bind(target) : value
    },
    set(target, key, value) {
      const at = offset(key)
      if (at !== undefined) changed.add(at)
      return Reflect.set(target, key, value, target)
    },
  })
  return { ...memory, values }
}

/** Elements that a run of the kernel reads and writes, by buffer. */
function touched(kernel: Kernel, seed: number, sizes: ReadonlyMap<string, number>) {
  const found = new Map(kernel.buffers.map((b) => [b.name, { read: new Set<number>(), written: new Set<number>() }]))
  const memories = kernelMemories(kernel, seed)
  for (const [name, memory] of memories) {
    const { read, written: changed } = found.get(name)!
    memories.set(name, watched(memory, read, changed))
  }
  interpretKernel(kernel, memories, sizes)
  return found
}

const counts = { exact: 0, more: 0 }

function check({ recipe, seq }: { recipe: KernelRecipe; seq: number }): void {
  withTable(() => {
    const kernel = buildKernel(recipe)
    const sizes = new Map([["seq", seq]])
    const actual = touched(kernel, recipe.seed, sizes)
    const stored = written(kernel)
    for (const t of trafficOf(kernel, sizes)) {
      const { read, written: changed } = actual.get(t.buffer)!
      const pairs = [[t.written, changed.size], ...(stored.has(t.buffer) ? [] : [[t.read, read.size]])]
      for (const [counted, seen] of pairs as [number, number][]) {
        expect(counted, `${t.buffer} of\n${printKernel(kernel)}`).toBeGreaterThanOrEqual(seen)
        counts[counted === seen ? "exact" : "more"]++
      }
    }
  })
}

test(
  "elements that random kernels touch",
  () => {
    const cases = kernelRecipes.map((recipe) => ({ recipe, seq: recipe.seq }))
    law("traffic", cases, 500, check, ({ recipe }) => withTable(() => printKernel(buildKernel(recipe))))
    expect(counts.exact).toBeGreaterThan(runs(1000))
    expect(counts.more / (counts.exact + counts.more)).toBeLessThan(0.1)
  },
  patience,
)
