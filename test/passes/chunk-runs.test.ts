/** Runs of chunks: how seldom accumulators of a long fold go to memory, by count, and that pivots which go on from run to run keep the digits. */
import { describe, expect, test } from "vitest"
import { compileKernel } from "../../compiler/compile-kernels.js"
import { devices } from "../../compiler/explain/devices.js"
import { allocateBuffer, memoryOf } from "../../compiler/interpret/memory.js"
import {
  apply,
  component,
  literal,
  load,
  mul,
  reduce,
  variable,
  walk,
  withTable,
} from "../../compiler/ir/expression.js"
import type { Kernel, KernelBuffer } from "../../compiler/ir/kernel.js"
import type { LoopKernel, Statement, Storage } from "../../compiler/ir/loop.js"
import { expressionsOf } from "../../compiler/ir/loop-visit.js"
import { onlineMonoid, sum } from "../../compiler/ir/monoid.js"
import type { Expression, Reduce } from "../../compiler/ir/nodes.js"
import { printLoop } from "../../compiler/ir/print/loop.js"
import type { Schedule } from "../../compiler/ir/schedule.js"
import { targetFor } from "../../compiler/targets/target.js"
import { shapeOfChunk } from "../../compiler/tile/runs.js"
import { checkLoops, effectOf, loopsOf } from "../laws/loops.js"

const hardware = targetFor("webgpu", devices["nvidia-h200"]!.adapter, "fast")

const array = (name: string, shape: readonly number[], storage: Storage = "f32"): KernelBuffer => ({
  name,
  dtype: "f32",
  storage,
  shape,
})
const read = (name: string, ...axes: string[]): Expression =>
  load(
    name,
    axes.map((a) => variable(a)),
    "f32",
  )

function kernelOf(axes: Readonly<Record<string, number>>, value: Expression, ...buffers: KernelBuffer[]): Kernel {
  const list = Object.entries(axes).map(([name, extent]) => ({ name, extent: literal(extent) }))
  const index = list.map((a) => variable(a.name))
  return {
    name: "long",
    buffers: [array("y", Object.values(axes)), ...buffers],
    items: [{ kind: "store", buffer: "y", axes: list, index, value }],
    spans: [],
  }
}

/** y[row, out] = Σ_k x[row, k] · w[out, k] */
const product = (rows: number, outs: number, count: number): Kernel => {
  const value = reduce("k", literal(count), sum, [mul(read("x", "row", "k"), read("w", "out", "k"))])
  return kernelOf({ row: rows, out: outs }, value, array("x", [rows, count], "bf16"), array("w", [outs, count], "bf16"))
}

/** What rows weigh over `keys` scores of `size` products. */
function weighed(rows: number, dims: number, keys: number, size: number): Kernel {
  const score = reduce("d", literal(size), sum, [mul(read("q", "row", "d"), read("k", "key", "d"))])
  const lifts = [score, literal(1, "f32"), read("v", "key", "dim")]
  const r = reduce("key", literal(keys), onlineMonoid("exp", 2), lifts) as Reduce
  const value = apply("div", component(r, 2), component(r, 1))
  const buffers = [array("q", [rows, size]), array("k", [keys, size]), array("v", [keys, dims])]
  return kernelOf({ row: rows, dim: dims }, value, ...buffers)
}

interface Counted {
  /** Elements that a lane fetches from arrays of its own, or stores there. */
  moved: number
  /** Products of f32, lane by lane of a vector. */
  products: number
}

/** Of one lane, from the loops: those over levels turn once on the average, and what is done every n-th time is done for a part. */
function counted(loops: LoopKernel): Counted {
  const own = new Set<string>()
  const total: Counted = { moved: 0, products: 0 }
  const look = (x: Expression, times: number) =>
    walk(x, (o) => {
      if (o.kind === "fetch" && own.has(o.array)) total.moved += times * o.width
      if (o.kind === "operation" && o.operation === "mul" && o.dtype === "f32") total.products += times * o.width
    })
  const visit = (body: readonly Statement[], times: number): void => {
    for (const s of body) {
      if (s.kind === "alloc" && s.space === "register") own.add(s.name)
      if (s.kind === "store" && own.has(s.array)) total.moved += times * s.value.width
      for (const x of expressionsOf(s)) look(x, times)
      if (s.kind === "block") visit(s.body, times)
      if (s.kind === "if") visit(s.body, times * partOf(s.condition))
      if (s.kind === "if") visit(s.otherwise, times * partOf(s.condition))
      if (s.kind !== "for") continue
      const levels = s.variable.startsWith("level")
      if (!levels && s.extent.kind !== "literal" && s.bind === "serial") throw new Error(`how long is ${s.variable}?`)
      visit(s.body, times * (s.bind === "serial" && !levels ? (s.extent as { value: number }).value : 1))
    }
  }
  visit(loops.body, 1)
  return total
}

/** The part of the times that a counter ends with zeros. */
function partOf(c: Expression): number {
  const masked = c.kind === "operation" && c.operation === "eq" ? c.args[0]! : c
  const mask = masked.kind === "operation" && masked.operation === "bitand" ? masked.args[1]! : undefined
  return mask?.kind === "literal" && masked !== c ? 1 / (mask.value + 1) : 1
}

describe("accumulators of long folds on hardware", () => {
  test("of a product move to memory once per 128 elements", () => {
    withTable(() => {
      const { moved, products } = counted(compileKernel(product(512, 4096, 12_288), hardware, { verify: true }).loops)
      expect(products).toBeGreaterThanOrEqual(12_288 * 16)
      expect(moved / products).toBeGreaterThan(0)
      expect(moved / products).toBeLessThanOrEqual(1 / 60)
    })
  })

  test("of an online fold move to memory once per 128 elements", () => {
    withTable(() => {
      const { loops } = compileKernel(weighed(512, 128, 8192, 128), hardware, { verify: true })
      const { moved, products } = counted(loops)
      expect(moved).toBeGreaterThan(0)
      expect(moved / products).toBeLessThanOrEqual(1 / 100)
    })
  })
})

test.each([
  // size, step, run, inside, least, own → together, chunks, sums
  [16, 4, 8, 1, 16, false, [8, 2, 4]],
  [16, 4, 8, 1, 8, false, [8, 2, 2]],
  [32, 4, 8, 1, 32, true, [8, 1, 4]],
  [64, 4, 8, 1, 64, true, [1, 1, 1]],
  [16, 1, 8, 1, 16, false, [1, 2, 4]],
  [4, 1, 1, 8, 4, false, [1, 1, 4]],
] as const)("chunks of %i in steps of %i, runs of %i and folds of %i inside, by the bound", (...given) => {
  const [size, step, run, inside, least, own, [together, chunks, sums]] = given
  expect(shapeOfChunk({ size, step, run, inside, least, own })).toEqual({ together, inLine: { chunks, sums } })
})

describe("pivots that go on", () => {
  const keys = 4224
  const schedule: Schedule = {
    threads: 4,
    stores: [
      {
        tile: { row: { block: 2, perThread: 1 }, dim: { block: "all", perThread: 2 } },
        reduce: { key: { chunk: 16, innerUnroll: 4 } },
        staged: { scores: { tile: {}, fold: {} } },
      },
    ],
    locals: {},
  }
  test.each([
    ["rise", (i: number) => i / keys],
    ["fall", (i: number) => 1 - i / keys],
    ["jump", (i: number) => ((i * 37) % 101) / 8],
  ] as const)("scores that %s", (_, score) => {
    withTable(() => {
      // One row of the second block lies beyond the end.
      const kernel = weighed(3, 4, keys, 1)
      const memories = new Map([
        ["q", memoryOf("f32", [1, 2, 0.5])],
        [
          "k",
          memoryOf(
            "f32",
            Float32Array.from({ length: keys }, (_, i) => score(i)),
          ),
        ],
        [
          "v",
          memoryOf(
            "f32",
            Float32Array.from({ length: keys * 4 }, (_, i) => ((i * 7919) % 1000) / 1000),
          ),
        ],
        ["y", allocateBuffer("f32", "f32", 12)],
      ])
      const effect = { ...effectOf(kernel, memories, new Map(), "analytic"), folded: keys }
      const options = { maxGroups: 8, sharedBytes: 1 << 16 }
      expect(checkLoops(effect, { schedule, options }, new Map(), 1)).toBeUndefined()
      const stages = loopsOf(kernel, { schedule, options })
      expect(typeof stages === "string" ? stages : printLoop(stages.tiled)).toMatch(/if \(\(chunks_0 & \d+\) == 0\)/)
    })
  })
})
