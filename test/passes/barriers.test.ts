/** Which barriers are left in loops, and that each of them is needed. */
import { expect, test } from "vitest"
import { compileKernel } from "../../compiler/compile-kernels.js"
import { devices } from "../../compiler/explain/devices.js"
import { interpretLoop } from "../../compiler/interpret/loop.js"
import { allocateBuffer, type Memory } from "../../compiler/interpret/memory.js"
import {
  add,
  apply,
  fetch,
  literal,
  load,
  localRead,
  reduce,
  variable,
  withTable,
} from "../../compiler/ir/expression.js"
import type { Kernel } from "../../compiler/ir/kernel.js"
import type { LoopKernel, Statement } from "../../compiler/ir/loop.js"
import { everyStatement, withBodies } from "../../compiler/ir/loop-visit.js"
import { sum } from "../../compiler/ir/monoid.js"
import type { Expression } from "../../compiler/ir/nodes.js"
import { verifyLoop } from "../../compiler/ir/verify/loop.js"
import { dropBarriers } from "../../compiler/loop/drop-barriers.js"
import { targetFor } from "../../compiler/targets/target.js"
import { isRefusal, tile } from "../../compiler/tile/tile.js"

const $ = (name: string) => variable(name)
const times = (...x: readonly Expression[]) => x.reduce((a, b) => apply("mul", a, b))
const barriers = ({ body }: LoopKernel) => everyStatement(body).filter((s) => s.kind === "barrier")

/** The loops without one barrier. */
function without(loops: LoopKernel, barrier: Statement): LoopKernel {
  const visit = (body: readonly Statement[]): readonly Statement[] =>
    body.flatMap((s) => (s === barrier ? [] : [withBodies(s, visit)]))
  return { ...loops, body: visit(loops.body) }
}

/** What is stored, by one workgroup that takes all blocks in turn. */
function run(loops: LoopKernel): Memory {
  const memories = new Map(
    loops.buffers.map((b) => {
      const memory = allocateBuffer("f32", b.storage, (b.size as Expression & { kind: "literal" }).value)
      for (let i = 0; b.access === "read" && i < memory.size; i++) memory.values[i] = (i * 7) % 5
      return [b.name, memory] as const
    }),
  )
  interpretLoop(loops, memories, new Map(), { groups: 1 })
  return memories.get("y")!
}

const race = /without a barrier between|before it is stored/

const extent = 1024
const outputs = 64

/** y[o] = Σ_k row{k} · w[o, k] / √norm, with a row and the norm of it that each block makes. */
function scaledRows(): Kernel {
  const at = (name: string, i: string) => load(name, [$(i)], "f32")
  const folded = reduce("k", literal(extent), sum, [
    times(localRead("row", [$("k")], "f32"), load("w", [$("o"), $("k")], "f32")),
  ])
  const root = apply("sqrt", localRead("norm", [], "f32"))
  const buffer = (name: string, ...shape: readonly number[]) => ({ name, dtype: "f32", storage: "f32", shape }) as const
  return {
    name: "scaled",
    buffers: [buffer("y", outputs), buffer("x", extent), buffer("g", extent), buffer("w", outputs, extent)],
    items: [
      {
        kind: "local",
        name: "row",
        axes: [{ name: "j", extent: literal(extent) }],
        value: times(at("x", "j"), at("g", "j")),
      },
      {
        kind: "local",
        name: "norm",
        axes: [],
        value: reduce("i", literal(extent), sum, [times(at("x", "i"), at("x", "i"))]),
      },
      {
        kind: "store",
        buffer: "y",
        axes: [{ name: "o", extent: literal(outputs) }],
        index: [$("o")],
        value: apply("div", folded, root),
      },
    ],
    spans: [],
  }
}

test("a row and its statistic are made in one phase: lanes meet before it and after it, and have the statistic in variables", () => {
  withTable(() => {
    const { loops } = compileKernel(scaledRows(), targetFor("webgpu", devices["nvidia-h200"]!.adapter), {
      verify: true,
    })
    expect(loops.threads).toBe(256)
    const kept = barriers(loops)
    expect(kept.length).toBe(2)
    const arrays = everyStatement(loops.body).flatMap((s) => (s.kind === "alloc" ? [s.size] : []))
    expect(arrays.sort((a, b) => a - b)).toEqual([256, extent])
    const values = Float64Array.from({ length: extent }, (_, i) => (i * 7) % 5)
    const norm = Math.sqrt(values.reduce((n, x) => n + x * x, 0))
    const expected = values.reduce((n, x, i) => n + x * x * ((i * 7) % 5), 0) / norm
    expect(run(loops).values[0]).toBeCloseTo(expected, 2)
    for (const barrier of kept) expect(() => run(without(loops, barrier))).toThrow(race)
  })
})

test("made once before all cells of a workgroup, they leave the cells no barrier", () => {
  withTable(() => {
    const target = targetFor("webgpu", devices["nvidia-h200"]!.adapter)
    const kernel = scaledRows()
    const { schedule, loops } = compileKernel(kernel, target, { verify: true })
    const tiled = tile(kernel, { ...schedule, workgroups: 2 }, target.tile)
    if (isRefusal(tiled)) throw new Error(tiled.why)
    const made = target.loopPasses.reduce((now, pass) => pass.run(now), tiled)
    expect(verifyLoop(made)).toEqual([])
    const cells = everyStatement(made.body).filter((s) => s.kind === "for" && s.bind === "grid")
    expect(everyStatement(cells).filter((s) => s.kind === "barrier")).toEqual([])
    const kept = barriers(made)
    expect(kept.length).toBe(1)
    expect(run(made).values).toEqual(run(loops).values)
    for (const barrier of kept) expect(() => run(without(made, barrier))).toThrow(race)
  })
})

const shared = (name: string): Statement => ({ kind: "alloc", name, dtype: "f32", size: 4, space: "shared" })
const barrier = (): Statement => ({ kind: "barrier" })
const put = (array: string, offset: Expression, value: Expression): Statement => ({
  kind: "store",
  array,
  offset,
  value,
})
const next = apply("bitxor", $("lane"), literal(1))
const own = apply("toF32", $("lane"))

/** Four lanes that do something for each of two blocks. */
const loopsOf = (body: readonly Statement[]): LoopKernel => ({
  name: "meetings",
  buffers: [{ name: "y", dtype: "f32", storage: "f32", size: literal(8), access: "write" }],
  symbols: [],
  threads: 4,
  groups: 2,
  body: [
    {
      kind: "for",
      variable: "group",
      extent: literal(2),
      bind: "grid",
      body: [shared("a"), shared("b"), { kind: "for", variable: "lane", extent: literal(4), bind: "lane", body }],
    },
  ],
})

const place = add(times($("group"), literal(4)), $("lane"))
const read = (array: string) => fetch(array, next, "f32")

test.each<[string, number, () => readonly Statement[]]>([
  [
    "the last of several that keep the same apart",
    2,
    () => [
      barrier(),
      put("a", $("lane"), own),
      barrier(),
      put("b", $("lane"), own),
      barrier(),
      put("y", place, apply("add", read("a"), read("b"))),
      barrier(),
    ],
  ],
  [
    "one for each time that an array is stored to",
    3,
    () => [
      barrier(),
      put("a", $("lane"), own),
      barrier(),
      put("b", $("lane"), read("a")),
      barrier(),
      barrier(),
      put("a", $("lane"), read("b")),
    ],
  ],
  [
    "those of a loop whose turns touch what the turn before did",
    3,
    () => [
      barrier(),
      put("a", $("lane"), own),
      {
        kind: "for",
        variable: "turn",
        extent: literal(3),
        bind: "serial",
        body: [barrier(), put("b", $("lane"), read("a")), barrier(), put("a", $("lane"), read("b"))],
      },
    ],
  ],
])("%s: %d", (_, count, body) => {
  withTable(() => {
    const given = loopsOf(body())
    const made = dropBarriers(given)
    expect(barriers(made).length).toBe(count)
    expect(run(made).values).toEqual(run(given).values)
    // The first one stays, whatever a turn of the grid does.
    for (const kept of barriers(made).slice(1)) expect(() => run(without(made, kept))).toThrow(race)
  })
})
