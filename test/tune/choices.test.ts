/** choices: legal schedules around the heuristic one, each of which computes what the kernel does. */
import { describe, expect, test } from "vitest"
import { withTable } from "../../compiler/ir/expression.js"
import type { Kernel } from "../../compiler/ir/kernel.js"
import { scheduleKey } from "../../compiler/ir/schedule.js"
import { choices } from "../../compiler/schedule/choices.js"
import { firstPossible } from "../../compiler/schedule/fallbacks.js"
import { targetFor, wasmTarget } from "../../compiler/targets/target.js"
import { isRefusal, tile } from "../../compiler/tile/tile.js"
import { kernelMemories } from "../laws/kernel-memories.js"
import { checkLoops, effectOf } from "../laws/loops.js"
import { contraction, rows } from "./kernels.js"

const targets = {
  wasm: wasmTarget,
  software: targetFor("webgpu", { subgroupSize: 8 }),
  hardware: targetFor("webgpu", { subgroupSize: 32, workgroupBytes: 32768 }),
}

const kernels: Readonly<Record<string, () => Kernel>> = {
  "a contraction": () => contraction({ rows: 64, out: 64, inner: 32 }),
  "a contraction of few rows": () => contraction({ rows: { max: 8, hint: 1 }, out: 48, inner: 64, storage: "bf16" }),
  "normalised rows": () => rows(12, 32),
}

describe.each(Object.entries(targets))("for %s", (_, target) => {
  test.each(Object.entries(kernels))("%s: the heuristic one first, all legal, none twice", (_, make) => {
    withTable(() => {
      const kernel = make()
      const { schedules } = choices(kernel, target)
      const first = firstPossible(kernel, target.schedule, target.tile)
      expect("code" in first ? first : first.schedule).toEqual(schedules[0])
      expect(schedules.length).toBeGreaterThan(10)
      expect(schedules.length).toBeLessThanOrEqual(120)
      expect(schedules.map((s) => tile(kernel, s, target.tile)).filter(isRefusal)).toEqual([])
      expect(new Set(schedules.map(scheduleKey)).size).toBe(schedules.length)
    })
  })

  test("they store what the kernel stores", () => {
    withTable(() => {
      const symbols = new Map([["seq", 5]])
      for (const make of [
        () => contraction({ rows: { max: 9, hint: 6 }, out: 36, inner: 16 }),
        () => contraction({ rows: 34, out: 32, inner: 16 }),
        () => rows(5, 12),
      ]) {
        const kernel = make()
        const effect = effectOf(kernel, kernelMemories(kernel, 7), symbols, "analytic")
        const { schedules } = choices(kernel, target)
        for (const schedule of schedules.filter((_, i) => i % 9 === 1))
          expect(checkLoops(effect, { schedule, options: target.tile }, symbols, 3)).toBeUndefined()
      }
    })
  })
})

test.each(["fast", "exact"] as const)(
  "for matrix units, %s: forty at most, of several blocks, atoms and chunks under way",
  (precision) => {
    withTable(() => {
      const target = targetFor("cuda", { subgroupSize: 32, capability: 90 }, precision)
      const kernel = contraction({ rows: 512, out: 1024, inner: 512, storage: "bf16" })
      const { schedules } = choices(kernel, target)
      expect(schedules.length).toBeLessThanOrEqual(40)
      expect(schedules.map((s) => tile(kernel, s, target.tile)).filter(isRefusal)).toEqual([])
      expect(new Set(schedules.map(scheduleKey)).size).toBe(schedules.length)
      const seen = (read: (s: (typeof schedules)[number]["stores"][number]) => unknown) =>
        new Set(schedules.map((s) => JSON.stringify(read(s.stores[0]!)))).size
      expect(seen((s) => s.atom?.name)).toBeGreaterThan(2)
      expect(seen((s) => [s.tile.row?.block, s.tile.out?.block])).toBeGreaterThan(3)
      expect(seen((s) => s.reduce.inner?.stages)).toBeGreaterThan(2)
    })
  },
)

test("blocks, registers, vectors, what is folded at once, chunks and held operands all vary", () => {
  withTable(() => {
    const { schedules } = choices(contraction({ rows: 256, out: 256, inner: 64 }), targets.hardware)
    const seen = (read: (s: (typeof schedules)[number]["stores"][number]) => unknown) =>
      new Set(schedules.map((s) => JSON.stringify(read(s.stores[0]!)))).size
    expect(seen((s) => s.tile.out?.block)).toBeGreaterThan(2)
    expect(seen((s) => s.tile.row?.perThread)).toBeGreaterThan(2)
    expect(seen((s) => s.tile.out?.vector)).toBeGreaterThan(1)
    expect(seen((s) => s.reduce.inner?.chunk)).toBeGreaterThan(2)
    expect(seen((s) => s.reduce.inner?.innerUnroll)).toBeGreaterThan(2)
    expect(seen((s) => Object.keys(s.staged ?? {}))).toBeGreaterThan(2)
    expect(seen((s) => s.staged?.b0?.pad)).toBeGreaterThan(2)
    const plain = choices(contraction({ rows: 1, out: 256, inner: 256 }), targets.hardware).schedules
    expect(new Set(plain.map((s) => s.stores[0]!.reduce.inner?.group)).size).toBeGreaterThan(2)
    expect(new Set(plain.map((s) => s.threads)).size).toBeGreaterThan(1)
  })
})

test("what cannot be scheduled has no choices, and the refusal is counted", () => {
  withTable(() => {
    const { schedules, refused } = choices(rows(4, 64), {
      ...wasmTarget,
      tile: { ...wasmTarget.tile, sharedBytes: -1 },
    })
    expect(schedules).toEqual([])
    expect([...refused]).toEqual([["local/size", 1]])
  })
})
