/** Kernels that start before earlier launches have ended: what they may touch until they wait, in the verifier and in the interpreter. */
import { describe, expect, it } from "vitest"
import { interpretLoop } from "../../compiler/interpret/loop.js"
import { memoryOf } from "../../compiler/interpret/memory.js"
import { sizeSymbol } from "../../compiler/ir/dim.js"
import { add, apply, fetch, literal, mul, variable } from "../../compiler/ir/expression.js"
import type { LoopBuffer, LoopKernel, Statement } from "../../compiler/ir/loop.js"
import type { Expression } from "../../compiler/ir/nodes.js"
import { verifyLoop } from "../../compiler/ir/verify/loop.js"
import { readOnce } from "../../compiler/loop/read-once.js"
import { startEarly } from "../../compiler/loop/start-early.js"
import { markSteady } from "../../compiler/plan/steady.js"
import { bind, bound, buffer, serial, store } from "../targets/wasm-support.js"

const lane = variable("l")
const at = (array: string) => fetch(array, lane, "f32", 1)
const weight: LoopBuffer = { ...buffer("w", "f32", 4), steady: true }
const buffers = [weight, buffer("x", "f32", 4), buffer("y", "f32", 4, "write")]
const kernel = (body: readonly Statement[], given: readonly LoopBuffer[] = buffers): LoopKernel => ({
  name: "kernel",
  buffers: given,
  symbols: [],
  threads: 4,
  groups: 1,
  body: [bound("grid", "g", 1, [bound("lane", "l", 4, body)])],
})
const wait: Statement = { kind: "await" }
const release: Statement = { kind: "release" }
const readWeight = bind("a", at("w"))
const readInput = bind("b", at("x"))
const sum = store("y", lane, add(variable("a", "f32"), variable("b", "f32")))

const problems = (k: LoopKernel) => verifyLoop(k).map((p) => `${p.code}: ${p.message}`)
function run(k: LoopKernel): string {
  const memories = new Map(["w", "x", "y"].map((name) => [name, memoryOf("f32", [1, 2, 3, 4])]))
  try {
    interpretLoop(k, memories, new Map())
    return `${memories.get("y")!.values}`
  } catch (error) {
    return `${(error as { code: string }).code}: ${(error as Error).message}`
  }
}

describe("until it waits, a kernel", () => {
  it("may read what is steady", () => {
    const k = kernel([readWeight, wait, release, readInput, sum])
    expect(problems(k)).toEqual([])
    expect(run(k)).toBe("2,4,6,8")
  })

  it("may not read what another launch may write", () => {
    const k = kernel([readWeight, readInput, wait, release, sum])
    expect(problems(k)).toEqual(["early: x is touched before 'await', in: let b: f32 = x[l]"])
    expect(run(k)).toMatch(/^early: x is touched before the launches that may write it have ended, in: let b/)
  })

  it("may not write what another launch may read", () => {
    const k = kernel([store("y", lane, at("w")), wait, release])
    expect(problems(k)[0]).toMatch(/^early: y is touched before 'await', in: y\[l\] = w\[l\]/)
    expect(run(k)).toMatch(/^early: y is touched/)
  })

  it("waits in all lanes, whatever they do", () => {
    const condition = apply("lt", lane, literal(2))
    const some: Statement = { kind: "if", condition, body: [wait], otherwise: [] }
    expect(problems(kernel([readWeight, some, release, readInput, sum]))[0]).toMatch(/^shape: this may not stand/)
  })

  it("has nothing steady that it writes, waits once, and is released only if it waits", () => {
    const given = [weight, buffers[1]!, { ...buffers[2]!, steady: true as const }]
    expect(problems(kernel([readWeight, wait, readInput, sum], given))).toEqual([
      "early: y is called steady, and is written",
    ])
    const once = [weight, { ...buffers[1]!, once: true as const }, buffers[2]!]
    expect(problems(kernel([readWeight, wait, readInput, sum], once))).toEqual([
      "early: x is read once, but is not steady",
    ])
    expect(problems(kernel([wait, readWeight, wait, readInput, sum]))).toEqual([
      "early: a kernel waits, and is released, once",
    ])
    expect(problems(kernel([release, readWeight, wait, readInput, sum]))).toEqual([])
    expect(problems(kernel([release, readWeight, readInput, sum]))).toEqual([
      "early: a kernel that does not wait is released",
    ])
  })
})

describe("start-early", () => {
  it("waits in front of the first touch of what is not steady", () => {
    expect(startEarly(kernel([readWeight, readInput, sum])).body).toEqual(
      kernel([release, readWeight, wait, readInput, sum]).body,
    )
  })

  it("waits in front of the cells of a workgroup, and where nothing is touched", () => {
    const cells = bound("grid", "g", 2, [readInput, sum])
    const prologue = (...body: Statement[]) => ({ ...kernel([]), body: [bound("lane", "l", 4, body)] })
    expect(startEarly(prologue(readWeight, cells)).body).toEqual(prologue(release, readWeight, wait, cells).body)
    expect(startEarly(kernel([readWeight])).body).toEqual(kernel([release, readWeight, wait]).body)
  })

  it("asks for the first of what is steady, under the same conditions", () => {
    const half = apply("lt", lane, literal(2))
    const row = bind("at", add(lane, literal(0)))
    const turn = serial("i", 2, [bind("c", fetch("w", add(mul(variable("i"), literal(2)), variable("at")), "f32", 1))])
    const computed = bind("d", fetch("w", apply("toI32", variable("b", "f32")), "f32", 1))
    const some: Statement = { kind: "if", condition: half, body: [row, turn], otherwise: [] }
    const asks = (...offsets: Expression[]): Statement[] =>
      offsets.map((offset) => ({ kind: "prefetch", array: "w", offset, width: 1 }))
    const ahead: Statement = {
      kind: "if",
      condition: half,
      body: asks(lane, add(lane, literal(2))),
      otherwise: [],
    }
    const k = startEarly(kernel([readInput, computed, some, readWeight, sum]), { reads: 8, bytes: 4 })
    expect(problems(k)).toEqual([])
    expect(k.body).toEqual(
      kernel([release, ahead, ...asks(lane), wait, readInput, computed, some, readWeight, sum]).body,
    )
    expect(startEarly(kernel([readWeight, readInput, sum]), { reads: 8, bytes: 8 }).body).toEqual(
      kernel([release, readWeight, wait, readInput, sum]).body,
    )
  })

  it("does not ask for what another launch may write", () => {
    const ask: Statement = { kind: "prefetch", array: "x", offset: lane, width: 1 }
    const k = kernel([ask, wait, release, readWeight, readInput, sum])
    expect(problems(k)).toEqual(["early: x is touched before 'await', in: prefetch x[l]"])
    expect(run(k)).toMatch(/^early: x is touched/)
  })

  it("leaves a kernel alone whose workgroups read before their lanes do", () => {
    const k = {
      ...kernel([]),
      body: [bound("grid", "g", 1, [bind("c", fetch("x", variable("g"), "f32", 1)), bound("lane", "l", 4, [sum])])],
    }
    expect(startEarly(k)).toBe(k)
  })
})

it("what is steady is a weight or a constant in every launch of a kernel", () => {
  const k = kernel(
    [],
    ["w", "x", "y"].map((name) => buffer(name, "f32", 4)),
  )
  const roles = ["weight", "constant", "scratch", "state"] as const
  const plan = {
    buffers: roles.map((role) => ({ name: role, role, storage: "f32" as const, shape: [4], bytes: 16, slot: 0 })),
    entries: {
      one: { launches: [{ kernel: 0, buffers: [0, 0, 2], groups: 1 }] },
      two: { launches: [{ kernel: 0, buffers: [1, 3, 2], groups: 1 }] },
    },
  }
  expect(markSteady([k], plan)[0]!.buffers.map((b) => b.steady === true)).toEqual([true, false, false])
})

describe("read-once marks a steady buffer", () => {
  const marked = (body: readonly Statement[], size: number) => {
    const given = [{ ...weight, size: literal(size) }, ...buffers.slice(1)]
    const grid = bound("grid", "group", 8, [bound("lane", "l", 4, body)])
    return readOnce({ ...kernel([], given), groups: 8, body: [grid] }).buffers.map((b) => b.once === true)
  }
  const turns = (n: number | Expression) => serial("i", n, [readWeight])

  it("of which all workgroups read no more than it has, twice at most", () => {
    // 8 workgroups of 4 lanes, 3 times each.
    expect(marked([turns(3), readInput], 96)).toEqual([true, false, false])
    expect(marked([turns(3), readInput], 48)).toEqual([true, false, false])
    expect(marked([turns(3), readInput], 47)).toEqual([false, false, false])
    expect(marked([turns(sizeSymbol("n", 4, 2))], 4096)[0]).toBe(false)
    expect(marked([readInput], 4096)[0]).toBe(false)
  })

  it("by the cells that read it", () => {
    const first = apply("lt", variable("group"), literal(2))
    const section: Statement = { kind: "if", condition: first, body: [turns(3)], otherwise: [readInput] }
    expect([24, 12, 11].map((size) => marked([section], size)[0])).toEqual([true, true, false])
    const other: Statement = { ...section, body: [readInput], otherwise: [turns(3)] }
    expect([36, 35].map((size) => marked([other], size)[0])).toEqual([true, false])
  })

  it("which each workgroup reads in front of its cells", () => {
    const cells = bound("grid", "group", 2, [readInput])
    const given = (size: number) => [{ ...weight, size: literal(size) }, ...buffers.slice(1)]
    const once = (size: number) =>
      readOnce({ ...kernel([], given(size)), groups: 8, body: [bound("lane", "l", 4, [readWeight, cells])] })
        .buffers[0]!.once
    expect([once(16), once(15)]).toEqual([true, undefined])
  })
})
