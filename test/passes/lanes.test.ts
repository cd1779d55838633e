/** What lanes of hardware do in kernels that read much and compute little: counted in the loops that the rules make. */
import { expect, test } from "vitest"
import { compileKernel } from "../../compiler/compile-kernels.js"
import { devices } from "../../compiler/explain/devices.js"
import {
  apply,
  component,
  literal,
  load,
  localRead,
  reduce,
  variable,
  withTable,
} from "../../compiler/ir/expression.js"
import type { Kernel, KernelBuffer, Store } from "../../compiler/ir/kernel.js"
import type { LoopKernel, Statement, Storage } from "../../compiler/ir/loop.js"
import { everyStatement } from "../../compiler/ir/loop-visit.js"
import { argmax, max, onlineMonoid, sum } from "../../compiler/ir/monoid.js"
import type { Expression } from "../../compiler/ir/nodes.js"
import { verifyLoop } from "../../compiler/ir/verify/loop.js"
import { merged } from "../../compiler/kernel/merge-folds.js"
import { splitReductions } from "../../compiler/kernel/split-reductions.js"
import { clean } from "../../compiler/loop/clean.js"
import { blocksTogether } from "../../compiler/schedule/choose.js"
import { targetFor } from "../../compiler/targets/target.js"
import { isRefusal, tile } from "../../compiler/tile/tile.js"
import { serialSteps, underWay } from "../support/lanes.js"

const hardware = targetFor("webgpu", devices["nvidia-h200"]!.adapter, "fast")
const $ = (name: string) => variable(name)
const times = (...x: readonly Expression[]) => x.reduce((a, b) => apply("mul", a, b))

const array = (name: string, shape: readonly number[], storage: Storage = "f32"): KernelBuffer => ({
  name,
  dtype: "f32",
  storage,
  shape,
})

/** y[o] = value, over `outputs` places. */
const kernelOf = (outputs: number, value: Expression, ...buffers: readonly KernelBuffer[]): Kernel => ({
  name: "many",
  buffers: [array("y", [outputs]), ...buffers],
  items: [{ kind: "store", buffer: "y", axes: [{ name: "o", extent: literal(outputs) }], index: [$("o")], value }],
  spans: [],
})

const compiled = (kernel: Kernel) => compileKernel(kernel, hardware, { verify: true })

test("lanes share the folds inside of a short fold, and take them side by side", () => {
  withTable(() => {
    const product = times(load("x", [$("s"), $("h")], "f32"), load("w", [$("s"), $("o"), $("h")], "f32"))
    const rows = reduce("h", literal(768), sum, [product])
    const value = reduce("s", literal(8), sum, [times(load("c", [$("s")], "f32"), rows)])
    const given = kernelOf(2048, value, array("c", [8]), array("x", [8, 768]), array("w", [8, 2048, 768], "bf16"))
    const { loops } = compiled(given)
    expect(serialSteps(loops)).toBeLessThanOrEqual(16)
    expect(underWay(loops, "w")).toBeGreaterThanOrEqual(8 * 4)
  })
})

test("candidates that are compared with one long sum each are summed in one pass", () => {
  withTable(() => {
    const least = apply("toF32", $("d"))
    const kept = apply(
      "select",
      apply("ge", load("x", [$("k")], "f32"), least),
      load("x", [$("k")], "f32"),
      literal(0, "f32"),
    )
    const total = reduce("k", literal(4096), sum, [kept])
    const value = reduce("d", literal(4), max, [
      apply("select", apply("ge", total, literal(1, "f32")), least, literal(0, "f32")),
    ])
    const { loops } = compiled(kernelOf(1, value, array("x", [4096])))
    expect(serialSteps(loops)).toBeLessThanOrEqual(4)
  })
})

const row = (extent: number, w = load("w", [$("o"), $("k")], "f32")) =>
  reduce("k", literal(extent), sum, [times(load("x", [$("k")], "f32"), w)])

test.each([
  [1024, 2048],
  [4096, 4096],
  [2048, 6144],
  [65536, 1024],
])("rows of halves, %d of %d, are loaded 16 bytes at a time, enough of them at once", (outputs, extent) => {
  withTable(() => {
    const given = kernelOf(outputs, row(extent), array("x", [extent]), array("w", [outputs, extent], "bf16"))
    const { loops, schedule } = compiled(given)
    const { k } = schedule.stores[0]!.reduce
    // Three blocks of 256 lanes on each multiprocessor, where a subgroup for each row makes fewer and each lane has whole runs.
    const group = outputs === 1024 ? 128 : 32
    expect(k).toMatchObject({ vector: 8, group })
    // Bytes under way on all lanes of the device, of which no more run at once than it has.
    const places = schedule.stores[0]!.tile.o?.perThread ?? 1
    const lanes = Math.min(132 * 1024, (group * outputs) / places)
    expect(lanes * 2 * underWay(loops, "w")).toBeGreaterThanOrEqual(Math.min(24e3 * 132, outputs * extent * 2))
  })
})

test("few runs of a lane are added in line where nothing is left over: only more of them are kept in arrays", () => {
  withTable(() => {
    const arraysOf = (extent: number) => {
      const { loops } = compiled(kernelOf(4096, row(extent), array("x", [extent]), array("w", [4096, extent], "bf16")))
      return everyStatement(loops.body).filter((s) => s.kind === "alloc" && s.space === "register").length
    }
    // 6 runs of 8 turns, as many as the bound of the error allows of 48; then 7, and 6 of which the last is shorter.
    expect(arraysOf(256 * 48)).toBe(0)
    expect(arraysOf(256 * 56)).toBeGreaterThan(0)
    expect(arraysOf(256 * 44)).toBeGreaterThan(0)
  })
})

test("what all rows read is no stream of theirs, whatever axes of one element it has", () => {
  withTable(() => {
    const one = { name: "s", extent: literal(1) }
    const product = times(load("x", [$("s"), $("k")], "f32"), load("w", [$("o"), $("k")], "f32"))
    const given = kernelOf(
      4096,
      reduce("k", literal(4096), sum, [product]),
      array("x", [1, 4096]),
      array("w", [4096, 4096], "bf16"),
    )
    const [store] = given.items as readonly Store[]
    const kernel = { ...given, items: [{ ...store!, axes: [one, ...store!.axes] }] }
    expect(compiled(kernel).schedule.stores[0]!.reduce.k).toMatchObject({ vector: 8, innerUnroll: 4 })
  })
})

test("axes that follow one another in memory are folded as one", () => {
  withTable(() => {
    const product = times(load("x", [$("h"), $("k")], "f32"), load("w", [$("o"), $("h"), $("k")], "f32"))
    const value = reduce("h", literal(16), sum, [reduce("k", literal(128), sum, [product])])
    const given = kernelOf(1024, value, array("x", [16, 128]), array("w", [1024, 16, 128], "bf16"))
    const { loops, schedule } = compiled(merged(given))
    expect(schedule.stores[0]!.reduce.k).toMatchObject({ vector: 8, group: 128 })
    expect(serialSteps(loops)).toBeLessThanOrEqual(2)
  })
})

test.each([sum, max])(
  "a fold of a long row is two kernels, beside other stores as well: parts on all cores",
  (monoid) => {
    withTable(() => {
      const total = reduce("k", literal(2 ** 17), monoid, [
        times(load("x", [$("k")], "f32"), localRead("scale", [], "f32")),
      ])
      const given = kernelOf(1, total, array("x", [2 ** 17]), array("z", [4096]))
      const local: Kernel["items"][number] = { kind: "local", name: "scale", axes: [], value: literal(2, "f32") }
      const beside: Kernel["items"][number] = {
        kind: "store",
        buffer: "z",
        axes: [{ name: "p", extent: literal(4096) }],
        index: [$("p")],
        value: apply("toF32", $("p")),
      }
      const kernel = { ...given, items: [local, ...given.items, beside] }
      const buffers = kernel.buffers.map((b) => [b.name, { ...b, role: "input" as const }] as const)
      const step = { kind: "kernel" as const, kernel, bindings: kernel.buffers.map((b) => b.name), computes: [] }
      const { steps } = splitReductions({ steps: [step], buffers: new Map(buffers), results: [] }, hardware.split!)
      const made = steps.flatMap((s) => (s.kind === "kernel" ? [compiled(s.kernel).loops] : []))
      expect(made.map((l) => l.groups >= 100)).toEqual([true, false])
      expect(steps.map((s) => s.kind === "kernel" && s.kernel.items.map((i) => i.kind))).toEqual([
        ["local", "store"],
        ["store", "store"],
      ])
      for (const loops of made) expect(serialSteps(loops)).toBeLessThanOrEqual(16)
    })
  },
)

test("what a block makes for all of its points is made by all of its threads, once for many points", () => {
  withTable(() => {
    const square = reduce("i", literal(1024), sum, [times(load("x", [$("i")], "f32"), load("x", [$("i")], "f32"))])
    const scaled = times(load("x", [$("j")], "f32"), localRead("norm", [], "f32"))
    const w = load("w", [$("o"), $("k")], "f32")
    const value = reduce("k", literal(1024), sum, [times(localRead("row", [$("k")], "f32"), w)])
    const plain = kernelOf(65536, value, array("x", [1024]), array("w", [65536, 1024], "bf16"))
    const locals: Kernel["items"] = [
      { kind: "local", name: "norm", axes: [], value: square },
      { kind: "local", name: "row", axes: [{ name: "j", extent: literal(1024) }], value: scaled },
    ]
    const { schedule, loops } = compiled({ ...plain, items: [...locals, ...plain.items] })
    expect(schedule.locals.i).toMatchObject({ group: 256 })
    expect(loops.groups).toBeLessThanOrEqual(hardware.schedule.workgroups!)
  })
})

test("few elements are spread over subgroups, many over all threads of as many blocks as keep the device busy", () => {
  withTable(() => {
    const lanesOf = (elements: number) => {
      const given = kernelOf(elements, times(load("x", [$("o")], "f32"), literal(2, "f32")), array("x", [elements]))
      const { schedule } = compiled(given)
      const { block, vector = 1 } = schedule.stores[0]!.tile.o!
      return Number(block) / vector
    }
    expect(lanesOf(6144)).toBe(32)
    expect(lanesOf(2 ** 20)).toBe(256)
  })
})

test("an argument of a maximum that is the same in both lanes of a vector is looked for in single values", () => {
  withTable(() => {
    const row = apply("toF32", apply("floordiv", $("o"), literal(2)))
    const best = reduce("k", literal(3), argmax, [apply("add", row, load("x", [$("k")], "f32")), $("k")])
    const schedule = {
      threads: 1,
      stores: [{ tile: { o: { block: "all", vector: 2 } }, reduce: {} }],
      locals: {},
    } as const
    const loops = tile(kernelOf(16, best, array("x", [3])), schedule, hardware.tile)
    expect(isRefusal(loops) ? loops.why : verifyLoop(loops)).toEqual([])
  })
})

test("what holds of a loop variable does not hold of a later one of the same name", () => {
  withTable(() => {
    const store = (): Statement => ({
      kind: "store",
      array: "y",
      offset: $("i"),
      value: apply("toF32", apply("lt", $("i"), literal(2))),
    })
    const body: readonly Statement[] = [
      { kind: "for", variable: "i", extent: literal(2), bind: "serial", body: [store()] },
      { kind: "block", body: [{ kind: "let", name: "i", value: literal(2), mutable: false }, store()] },
    ]
    const buffers = [{ name: "y", dtype: "f32", storage: "f32", size: literal(3), access: "write" }] as const
    const made = clean({ name: "tail", buffers, symbols: [], threads: 1, groups: 1, body })
    const values = everyStatement(made.body).flatMap((s) => (s.kind === "store" ? [s.value] : []))
    expect(values).toEqual([literal(1, "f32"), literal(0, "f32")])
  })
})

/** Rows of weights times a row that each block normalises; each of the `outputs` is a store. */
function normalised(outputs: readonly number[]): Kernel {
  const squares = reduce("s", literal(1024), sum, [times(load("x", [$("s")], "f32"), load("x", [$("s")], "f32"))])
  const scaled = times(load("x", [$("e")], "f32"), localRead("m", [], "f32"))
  const stores = outputs.map((extent, i): Kernel["items"][number] => {
    const [o, k] = [`o${i}`, `k${i}`]
    const read = localRead("row", [$(k)], "f32")
    const value = reduce(k, literal(1024), sum, [times(read, load(`w${i}`, [$(o), $(k)], "f32"))])
    return { kind: "store", buffer: `y${i}`, axes: [{ name: o, extent: literal(extent) }], index: [$(o)], value }
  })
  const weights = outputs.flatMap((extent, i) => [array(`w${i}`, [extent, 1024], "bf16"), array(`y${i}`, [extent])])
  return {
    name: "normalised",
    buffers: [array("x", [1024]), ...weights],
    items: [
      { kind: "local", name: "m", axes: [], value: squares },
      { kind: "local", name: "row", axes: [{ name: "e", extent: literal(1024) }], value: scaled },
      ...stores,
    ],
    spans: [],
  }
}

const before = (loops: LoopKernel): readonly Statement[] | undefined => {
  const lanes = loops.body.find((s) => s.kind === "for" && s.bind === "lane")
  return lanes?.kind === "for" ? lanes.body.slice(0, -1) : undefined
}

test("what many blocks make alike is made once by each workgroup that runs at once", () => {
  withTable(() => {
    const { loops, schedule } = compiled(normalised([65536]))
    const { workgroups } = hardware.schedule
    expect([schedule.workgroups, loops.groups]).toEqual([workgroups, workgroups])
    const blocks = 65536 / (schedule.stores[0]!.tile.o0!.block as number)
    expect(blocks).toBeGreaterThanOrEqual(2 * workgroups!)
    expect(everyStatement(before(loops)!).some((s) => s.kind === "barrier")).toBe(true)
    // Workgroups do not wait between their blocks.
    const cells = everyStatement(loops.body).find((s) => s.kind === "for" && s.bind === "grid")
    expect(everyStatement([cells!]).some((s) => s.kind === "barrier")).toBe(false)
  })
})

test("and once in the text for several stores; not for few blocks of one", () => {
  withTable(() => {
    const several = compiled(normalised([2048, 1024])).loops
    expect(everyStatement(several.body).filter((s) => s.kind === "store" && s.array.startsWith("row"))).toHaveLength(1)
    expect(several.groups).toBeLessThan(hardware.schedule.workgroups!)
    expect(before(compiled(normalised([2048])).loops)).toBeUndefined()
  })
})

test.each([[4096, 1024, 1024], [2048, 1024, 1024], [4096, 512, 512], [12288]])(
  "all cores have as many blocks that make the same, and few: of %d, %d, %d rows",
  (...outputs) => {
    withTable(() => {
      const { cores, workgroups, block } = hardware.schedule
      const points = outputs.filter((n) => n > 0)
      const { groups } = compiled(normalised(points)).loops
      const rows = points.reduce((n, extent) => n + extent, 0)
      expect(groups).toBeGreaterThan(cores!)
      expect(groups).toBeLessThanOrEqual(workgroups!)
      // What the core that has most does, and what each would do of even shares: no other block size is nearer by a quarter.
      expect((Math.ceil(groups / cores!) * (rows / groups)) / (rows / cores!)).toBeLessThanOrEqual(1.25)
      expect(rows / groups).toBeGreaterThanOrEqual(block)
    })
  },
)

// 128 channels leave 16 lanes room for 4 rows, 96 four lanes for one: their number is a power of two that divides the vectors of a row.
test.each([
  [2, 128, 4],
  [4, 128, 4],
  [8, 128, 4],
  [16, 128, 4],
  [16, 96, 1],
  [16, 160, 1],
  [16, 64, 4],
])(
  "%d rows of %d channels that fold the same elements: as many to a block as its lanes have room for, in as many parts as run at once",
  (rows, channels, room) => {
    withTable(() => {
      const [keys, heads] = [8192, 4]
      const at = (e: string) => [$("key"), $("h"), $(e)]
      const score = reduce("e", literal(channels), sum, [
        times(load("q", [$("h"), $("r"), $("e")], "f32"), load("k", at("e"), "f32")),
      ])
      const fold = reduce("key", literal(keys), onlineMonoid("exp", 1), [score, load("v", at("d"), "f32")])
      const cache = [keys, heads, channels]
      const buffers = [
        array("y", [heads, rows, channels]),
        array("q", [heads, rows, channels]),
        array("k", cache, "bf16"),
        array("v", cache, "bf16"),
      ]
      const axes = Object.entries({ h: heads, r: rows, d: channels }).map(([name, n]) => ({ name, extent: literal(n) }))
      const store: Store = {
        kind: "store",
        buffer: "y",
        axes,
        index: axes.map((a) => $(a.name)),
        value: component(fold, 1),
      }
      const kernel: Kernel = { name: "many", buffers, items: [store], spans: [] }
      const step = { kind: "kernel" as const, kernel, bindings: buffers.map((b) => b.name), computes: [] }
      const given = new Map(buffers.map((b) => [b.name, { ...b, role: "input" as const }]))
      const blocksOf = (store: Store, kernel: Kernel) => blocksTogether(store, kernel, hardware.schedule)
      const fused = { steps: [step], buffers: given, results: [] }
      const [parts] = splitReductions(fused, { ...hardware.split!, blocksOf }).steps
      const { loops, schedule } = compiled((parts as typeof step).kernel)
      const tiles = Object.values(schedule.stores.find((s) => s.computeWith === undefined)!.tile)
      const held = tiles.reduce((n, t) => n * (t.lanes === undefined ? (t.perThread ?? 1) : 1), 1)
      expect(held).toBe(Math.min(rows, room))
      expect(loops.groups).toBe(Math.min(hardware.split!.busy, (heads * hardware.split!.parts * rows) / held))
    })
  },
)

test("lanes that share a fold are a power of two that divides the workgroup's, where all of them have what it makes, too", () => {
  withTable(() => {
    const statistic = reduce("i", literal(8), sum, [times(load("x", [$("i")], "f32"), load("x", [$("i")], "f32"))])
    const given = kernelOf(8, apply("add", localRead("m", [], "f32"), load("x", [$("o")], "f32")), array("x", [8]))
    const kernel: Kernel = {
      ...given,
      items: [{ kind: "local", name: "m", axes: [], value: statistic }, ...given.items],
    }
    const codeOf = (threads: number, group: number, subgroup: number) => {
      const stores = [{ tile: { o: { block: "all" as const } }, reduce: {} }]
      const tiled = tile(kernel, { threads, subgroup, stores, locals: { i: { group } } }, hardware.tile)
      if (isRefusal(tiled)) return tiled.code
      expect(verifyLoop(tiled)).toEqual([])
      return undefined
    }
    for (const subgroup of [1, 32]) {
      for (const [threads, group] of [
        [3, 3],
        [6, 6],
        [12, 12],
        [3, 2],
        [6, 4],
        [6, 3],
      ] as const)
        expect(codeOf(threads, group, subgroup), `${group} of ${threads}`).toBe("reduce/group")
      for (const [threads, group] of [
        [4, 4],
        [32, 32],
        [6, 2],
        [3, 1],
      ] as const)
        expect(codeOf(threads, group, subgroup), `${group} of ${threads}`).toBeUndefined()
    }
  })
})
