/** Lanes, steps and times of small loops, against what was counted by hand. */
import { describe, expect, test } from "vitest"
import { devices } from "../../compiler/explain/devices.js"
import { estimateOf } from "../../compiler/explain/estimate.js"
import { launchWork } from "../../compiler/explain/lanes/work.js"
import { add, apply, fetch, literal, mul, symbol, variable } from "../../compiler/ir/expression.js"
import type { LoopBuffer, LoopKernel, Statement } from "../../compiler/ir/loop.js"
import type { Expression } from "../../compiler/ir/nodes.js"
import { commit, copy, fill, held, multiply, place, wait } from "../support/fragments.js"

const lane = variable("lane")
const group = variable("group")
const [i, j] = [variable("i"), variable("j")]
const n = (value: number) => literal(value)
const past = symbol("past", 4096, 512)
const sizes = new Map([["past", 100]])

const loop = (name: string, extent: Expression | number, ...body: Statement[]): Statement => ({
  kind: "for",
  variable: name,
  extent: typeof extent === "number" ? n(extent) : extent,
  bind: "serial",
  body,
})
const when = (condition: Expression, body: readonly Statement[], otherwise: readonly Statement[] = []): Statement => ({
  kind: "if",
  condition,
  body,
  otherwise,
})
const zero: Statement = { kind: "let", name: "acc", value: literal(0, "f32"), mutable: true }
const acc = variable("acc", "f32")
const plus = (x: Expression): Statement => ({ kind: "assign", name: "acc", value: add(acc, x) })
const read = (offset: Expression, array = "x", width = 1) => fetch(array, offset, "f32", width)
const store = (offset: Expression, value: Expression = acc): Statement => ({ kind: "store", array: "y", offset, value })
const buffer = (name: string, size: number): LoopBuffer => ({
  name,
  dtype: "f32",
  storage: "f32",
  size: n(size),
  access: name === "y" ? "write" : "read",
})
const kernel = (threads: number, blocks: Expression | number, ...body: Statement[]): LoopKernel => ({
  name: "k",
  buffers: [buffer("x", 1 << 20), buffer("w", 1 << 20), buffer("y", 1 << 20)],
  symbols: ["past"],
  threads,
  groups: 4096,
  body: [
    {
      kind: "for",
      variable: "group",
      extent: typeof blocks === "number" ? n(blocks) : blocks,
      bind: "grid",
      body: [{ kind: "for", variable: "lane", extent: n(threads), bind: "lane", body }],
    },
  ],
})
const device = devices["nvidia-h100"]!
const work = (k: LoopKernel) => launchWork(k, { sizes, latency: () => 500, expected: 1 })!
const time = (loops: LoopKernel, bytes = 0) => {
  const buffers = [{ buffer: "x", read: bytes / 4, written: 0, bytes }]
  return estimateOf({ loops, buffers, fromMemory: () => true, sizes }, device)!
}

describe("lanes that do work of their own", () => {
  test("all, where each reads its own", () => {
    const own = work(kernel(64, 8, zero, loop("i", 10, plus(read(add(mul(i, n(64)), lane)))), store(lane)))
    expect([own.blocks, own.lanes, own.busyLanes, own.serialSteps]).toEqual([8, 64, 64, 10])
    expect(own.operations).toBe(8 * 64 * 10)
  })
  test("one, where all lanes do the same", () => {
    const same = work(
      kernel(64, 8, zero, loop("i", 1000, plus(read(i))), when(apply("lt", lane, n(1)), [store(group)])),
    )
    expect(same.busyLanes).toBeCloseTo(1, 1)
    expect(same.operations).toBe(8 * 1000)
  })
  test("those that a condition lets in, and those that compute different values", () => {
    const few = work(
      kernel(64, 8, when(apply("lt", lane, n(16)), [zero, loop("i", 100, plus(read(add(i, lane)))), store(lane)])),
    )
    expect(few.busyLanes).toBe(16)
    const fours = work(
      kernel(64, 8, zero, loop("i", 100, plus(read(add(i, apply("floordiv", lane, n(4)))))), store(lane)),
    )
    expect(fours.busyLanes).toBeGreaterThan(15.9)
    expect(fours.busyLanes).toBeLessThan(17)
  })
})

describe("steps of one lane", () => {
  test("loops within loops, and lengths that sizes decide", () => {
    expect(work(kernel(32, 4, zero, loop("i", 5, loop("j", 7, plus(read(add(i, j))))), store(lane))).serialSteps).toBe(
      35,
    )
    expect(work(kernel(32, 4, zero, loop("i", past, plus(read(i))), store(lane))).serialSteps).toBe(100)
  })
  test("the longer of two stores with blocks of their own", () => {
    const both = kernel(
      32,
      4,
      zero,
      when(apply("lt", group, n(3)), [loop("i", 5, plus(read(i)))], [loop("j", 90, plus(read(j)))]),
      store(lane),
    )
    expect(work(both).serialSteps).toBe(90)
    expect(work(both).blocks).toBe(4)
  })
  test("a triangle: the mean block has half of the steps", () => {
    const triangle = work(kernel(32, 101, zero, loop("i", group, plus(read(add(i, lane)))), store(lane)))
    expect(triangle.serialSteps).toBe(100)
    expect(triangle.operations).toBeCloseTo(32 * 5050, -3)
  })
  test("blocks in turn: more than are launched", () => {
    expect(work(kernel(32, 3 * 4096, zero, loop("i", 5, plus(read(add(i, lane)))), store(lane))).serialSteps).toBe(15)
  })
  test("barriers", () => {
    expect(
      work(kernel(32, 4, loop("i", 6, { kind: "barrier" }, { kind: "barrier" }), zero, store(lane))).barriers,
    ).toBe(12)
  })
})

describe("the time of a launch", () => {
  // A length that sizes decide: such loops are not unrolled.
  const far = (...body: Statement[]) => kernel(32, 132, zero, loop("i", past, ...body), store(lane))
  const place = (k: number) => add(mul(add(mul(i, n(8)), n(k)), n(4096)), mul(lane, n(16)))
  test("a fetch that is waited for in each step costs its latency in each", () => {
    const { seconds, limit } = time(far(plus(read(place(0)))))
    expect(limit).toBe("latency")
    expect(seconds).toBeGreaterThan(100 * 700e-9)
    expect(seconds).toBeLessThan(100 * 800e-9)
  })
  test("four steps of a loop of fixed length wait together, if it has no branches", () => {
    const fixed = (...body: Statement[]) => time(kernel(32, 132, zero, loop("i", 100, ...body), store(lane))).seconds
    const one = time(far(plus(read(place(0))))).seconds
    expect(fixed(plus(read(place(0)))) / one).toBeCloseTo(0.27, 1)
    expect(fixed(when(apply("lt", i, n(100)), [plus(read(place(0)))])) / one).toBeCloseTo(1, 1)
  })
  test("fetches that are asked for together wait together", () => {
    const one = time(far(plus(read(place(0)))))
    const four = time(far(plus(add(add(read(place(0)), read(place(1))), add(read(place(2)), read(place(3)))))))
    expect(four.seconds).toBeLessThan(1.1 * one.seconds)
    expect(four.inFlight).toBe(4 * one.inFlight)
  })
  test("what is asked for in one step and used in the next waits half as long", () => {
    const next: Statement = { kind: "let", name: "next", value: read(mul(lane, n(16))), mutable: true }
    const ahead: Statement = { kind: "assign", name: "next", value: read(place(0)) }
    const now: Statement = { kind: "let", name: "now", value: variable("next", "f32"), mutable: false }
    const pipelined = kernel(
      32,
      132,
      zero,
      next,
      loop("i", past, now, ahead, plus(variable("now", "f32"))),
      store(lane),
    )
    expect(time(pipelined).seconds).toBeLessThan(0.6 * time(far(plus(read(place(0))))).seconds)
  })
  test("neighbours of what has just been read are near", () => {
    expect(time(far(plus(read(i)))).seconds).toBeLessThan(0.2 * time(far(plus(read(place(0))))).seconds)
  })
  test("bytes limit what has enough of them under way", () => {
    const many = kernel(256, 4096, zero, plus(read(add(mul(group, n(256)), lane))), store(lane))
    const { seconds, limit } = time(many, 1e9)
    expect(limit).toBe("memory")
    expect(seconds).toBeCloseTo(1e9 / 3.1e12 + 1.84e-6, 7)
  })
})

describe("what a workgroup does before its cells", () => {
  const first = loop("i", 100, plus(read(i, "w")))
  const cell = [loop("j", 10, plus(read(add(mul(group, n(64)), j)))), store(group)]
  const each = { ...kernel(64, 40, zero, first, ...cell), groups: 8 }
  const grid: Statement = { kind: "for", variable: "group", extent: n(40), bind: "grid", body: cell }
  const once: LoopKernel = {
    ...each,
    body: [{ kind: "for", variable: "lane", extent: n(64), bind: "lane", body: [zero, first, grid] }],
  }

  test("counts once for each of them", () => {
    const [a, b] = [work(each), work(once)]
    expect([a.blocks, a.groups, a.serialSteps]).toEqual([40, 8, 5 * 110])
    expect([b.blocks, b.groups, b.serialSteps]).toEqual([40, 8, 100 + 5 * 10])
    expect([a.operations, b.operations]).toEqual([40 * 110, 8 * 100 + 40 * 10])
    expect(b.firstCycles).toBeGreaterThan(5 * b.meanCycles)
    expect(b.requested).toBeLessThan(0.4 * a.requested)
  })
  test("is waited for once", () => {
    expect(time(once).parts.latency).toBeLessThan(0.35 * time(each).parts.latency)
    expect(work(each).firstCycles).toBe(0)
  })
  test("blocks of the core that has most are those of its workgroups", () => {
    // Of 140 workgroups on 132 cores two are on the first, with two blocks each.
    const on = (groups: number) => time({ ...kernel(64, 280, zero, ...cell), groups }).parts.instructions
    expect(on(140) / on(132)).toBeCloseTo(4 / 3)
  })
})

describe("products on matrix units", () => {
  const filled = (operand: "a" | "b", array: string) =>
    fill({ operand, to: place(operand), from: place(array), transposed: operand === "b" })
  const arrays = [held("a", 8), held("b", 4), held("c", 4)]
  const unrolled = (extent: number, ...body: Statement[]): Statement => ({
    ...(loop("u", extent, ...body) as Statement & { kind: "for" }),
    bind: "unroll",
  })

  test("are operations of each group of lanes, by the rate of the units of the cores that have some", () => {
    const product = kernel(64, 8, ...arrays, loop("i", 5, filled("a", "x"), filled("b", "w"), multiply()))
    const found = work(product)
    const operations = 8 * 2 * 5 * 2 * 16 * 8 * 16
    expect([found.products, found.operations, found.serialSteps]).toEqual([operations, 0, 5])
    expect(time(product).parts["matrix units"]).toBeCloseTo((operations / 8) * (132 / 500e12), 12)
    // Two subgroups ask for 16 × 16 and 8 × 16 elements of 4 bytes.
    expect(found.requested).toBeGreaterThanOrEqual(8 * 2 * (16 * 16 + 8 * 16) * 4)
  })
  test("that are written one after the other are no steps of a loop", () => {
    const product = kernel(32, 8, ...arrays, loop("i", 5, unrolled(4, multiply())))
    expect([work(product).products, work(product).serialSteps]).toEqual([8 * 20 * 4096, 1])
  })
  test("what is copied is waited for where that is said", () => {
    const shared = { kind: "alloc", name: "tile", dtype: "f32", size: 512, space: "shared" } as Statement
    const copied = (at: number) =>
      copy({ to: place("tile", mul(lane, n(4))), from: place("x", mul(add(n(at), lane), n(4))), width: 4 })
    const cyclesOf = (...body: Statement[]) => work(kernel(32, 8, shared, ...body)).longestCycles
    expect(cyclesOf(copied(0), commit)).toBeLessThan(500)
    expect(cyclesOf(copied(0), commit, wait())).toBeGreaterThan(500)
    // Both are asked for before either is waited for.
    expect(cyclesOf(copied(0), commit, copied(32), commit, wait())).toBeLessThan(1000)
    expect(cyclesOf(copied(0), commit, wait(), copied(32), commit, wait())).toBeGreaterThan(1000)
    expect(work(kernel(32, 8, shared, copied(0), commit)).requested).toBe(8 * 32 * 16)
  })
})
