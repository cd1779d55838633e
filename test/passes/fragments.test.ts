/** What lanes do together and what they begin: what is proven and clamped, what passes keep, and targets without matrix units. */
import { describe, expect, test } from "vitest"
import { add, apply, fetch, mul, symbol } from "../../compiler/ir/expression.js"
import type { LoopKernel, Statement } from "../../compiler/ir/loop.js"
import { everyStatement } from "../../compiler/ir/loop-visit.js"
import { printStatement } from "../../compiler/ir/print/loop.js"
import { describeUnproven, proveAccesses } from "../../compiler/ir/verify/accesses.js"
import { clampAccesses } from "../../compiler/loop/clamp-accesses.js"
import { dropBarriers } from "../../compiler/loop/drop-barriers.js"
import { hoistInvariants } from "../../compiler/loop/hoist-invariants.js"
import { mergeLoads } from "../../compiler/loop/merge-loads.js"
import { readOnce } from "../../compiler/loop/read-once.js"
import { emitWasm } from "../../compiler/targets/wasm/emit.js"
import { emitWgsl } from "../../compiler/targets/wgsl/emit.js"
import {
  arrays,
  barrier,
  buffers,
  commit,
  copy,
  fill,
  i,
  kernel,
  lane,
  loop,
  multiply,
  n,
  place,
  store,
  wait,
} from "../support/fragments.js"

describe("accesses", () => {
  const unproven = (body: readonly Statement[]) => proveAccesses(kernel(body)).unproven.map(describeUnproven)
  const seq = symbol("seq", 64, 8)
  test("tiles are proven from their first element to their last", () => {
    expect(unproven([...arrays, fill({ from: place("tile", 1024 - 256) })])).toEqual([])
    expect(unproven([...arrays, fill({ from: place("tile", 1024 - 255) })])[0]).toMatch(/^256 elements of 'tile'/)
    expect(unproven([...arrays, fill({ stride: n(64), from: place("tile", 48) })])).toEqual([])
    expect(unproven([...arrays, fill({ stride: n(64), transposed: true, from: place("tile", 49) })])).not.toEqual([])
    expect(unproven([...arrays, fill({ count: 2, step: 768 })])).toEqual([])
    expect(unproven([...arrays, fill({ count: 2, step: 769 })])).not.toEqual([])
    expect(unproven([...arrays, fill({ to: place("a", 16) })])).not.toEqual([])
    expect(unproven([...arrays, fill({ stride: seq })])).toEqual([])
    expect(unproven([...arrays, fill({ stride: add(seq, n(9)) })])).not.toEqual([])
  })
  test("a copy reads where it is valid", () => {
    const at = add(mul(lane, n(8)), mul(i, n(256)))
    const valid = apply("lt", at, n(1024))
    expect(unproven([loop(8, copy({ from: place("x", at), valid }))])).toEqual([])
    expect(unproven([loop(8, copy({ from: place("x", at) }))])).not.toEqual([])
  })
  test("what is not proven is clamped: tiles as a whole, where they may begin", () => {
    const index = apply("toI32", fetch("x", n(0), "f32"))
    const {
      loops,
      unproven: left,
      clamped,
    } = clampAccesses(
      kernel([...arrays, copy({ to: place("tile", mul(index, n(8))) }), fill({ from: place("tile", index) })]),
      [],
    )
    expect([left, clamped]).toEqual([[], 2])
    const lines = everyStatement(loops.body).map(printStatement)
    expect(lines).toContain(
      "copy tile[min(max((i32(x[0]) * 8), 0), 1016) : 8] = x[(lane * 8) : 8]".replaceAll("i32(x[0])", "toI32(x[0])"),
    )
    expect(lines).toContain("fill a[0] = tile[min(max(toI32(x[0]), 0), 768)] stride 16 as a of mma.m16n8k16.bf16")
  })
})

describe("passes", () => {
  const barriers = (k: LoopKernel) => everyStatement(k.body).filter((s) => s.kind === "barrier").length
  test("a barrier between a wait and who reads what was copied stays", () => {
    const reads = store("y", lane, fetch("tile", apply("bitxor", lane, n(1)), "f32"))
    const kept = dropBarriers(kernel([copy(), commit, wait(), barrier, reads]))
    expect(
      everyStatement(kept.body)
        .slice(-2)
        .map((x) => x.kind),
    ).toEqual(["barrier", "store"])
    // What is not waited for is not there, whatever stands between.
    const twice = dropBarriers(kernel([copy(), commit, wait(), barrier, barrier, reads]))
    expect(barriers(twice)).toBe(1)
    const ring = [copy(), commit, loop(4, wait(), barrier, reads, barrier, copy(), commit), wait()]
    expect(barriers(dropBarriers(kernel(ring)))).toBe(2)
  })
  test("what is copied is not read before the loop that waits for it, nor results before they are there", () => {
    const reads: Statement = store("y", lane, apply("exp", fetch("tile", n(0), "f32")))
    const moved = hoistInvariants(kernel([copy(), commit, loop(4, wait(), barrier, reads)]))
    expect(everyStatement(moved.body).some((s) => s.kind === "let")).toBe(false)
    const sums: Statement = store("y", lane, apply("exp", fetch("c", n(0), "f32")))
    const product = hoistInvariants(kernel([...arrays, loop(4, multiply(), sums)]))
    expect(everyStatement(product.body).some((s) => s.kind === "let")).toBe(false)
  })
  test("loads side by side do not become one across what changes the array", () => {
    const at = (k: number): Statement => ({
      kind: "let",
      name: `v${k}`,
      value: fetch("c", n(k), "f32"),
      mutable: false,
    })
    const isMerged = (...body: Statement[]) =>
      everyStatement(mergeLoads(kernel([...arrays, ...body])).body).some((s) => s.kind === "let" && s.value.width === 4)
    expect(isMerged(at(0), at(1), at(2), at(3))).toBe(true)
    expect(isMerged(at(0), at(1), multiply(), at(2), at(3))).toBe(false)
  })
  test("copies and fills count as reads of a stream", () => {
    const steady = (k: LoopKernel): LoopKernel => ({ ...k, buffers: [{ ...buffers[0]!, steady: true }, buffers[1]!] })
    const isOnce = (...body: Statement[]) => readOnce(steady(kernel([...arrays, ...body]))).buffers[0]!.once === true
    expect(isOnce(copy())).toBe(true)
    expect(isOnce(loop(9, copy()))).toBe(false)
    expect(isOnce(fill({ from: place("x") }))).toBe(true)
    expect(isOnce(loop(9, fill({ from: place("x") })))).toBe(false)
  })
})

describe("targets without matrix units", () => {
  const copies = kernel([
    copy({ valid: apply("lt", lane, n(3)) }),
    commit,
    wait(),
    barrier,
    store("y", lane, fetch("tile", n(0), "f32")),
  ])
  test("copy where lanes copy, under a condition, and wait for nothing", () => {
    const { source } = emitWgsl(copies, { symbolOrder: [] })
    expect(source).toMatch(/if \(lane_ < 3\) \{\n[^}]*tile\[[^}]*\} else \{\n[^}]*tile\[[^}]*\}/)
    expect(emitWasm([copies]).module.length).toBeGreaterThan(0)
  })
  test("refuse products before anything is printed", () => {
    const products = kernel([...arrays, multiply()])
    const refusal = /kernel 'k' multiplies by mma\.m16n8k16\.bf16, which (WGSL|WebAssembly) does not have/
    expect(() => emitWgsl(products, { symbolOrder: [] })).toThrow(refusal)
    expect(() => emitWasm([products])).toThrow(refusal)
  })
})
