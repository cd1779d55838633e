/** What rules count of a block for matrix units: it takes so many bytes and registers. */
import { expect, test } from "vitest"
import { apply, component, literal, load, mul, reduce, variable, withTable } from "../../compiler/ir/expression.js"
import { atoms } from "../../compiler/ir/fragments/atoms.js"
import type { Kernel, KernelBuffer, Store } from "../../compiler/ir/kernel.js"
import { storageBytes } from "../../compiler/ir/loop.js"
import { everyStatement } from "../../compiler/ir/loop-visit.js"
import { onlineMonoid, sum } from "../../compiler/ir/monoid.js"
import type { Expression } from "../../compiler/ir/nodes.js"
import type { StoreSchedule } from "../../compiler/ir/schedule.js"
import { atomSchedule } from "../../compiler/schedule/products/atoms.js"
import { onlineAtomSchedule } from "../../compiler/schedule/products/online.js"
import { atomRules } from "../../compiler/schedule/products/rules.js"
import type { Chunked } from "../../compiler/schedule/shares.js"
import { isRefusal, tile } from "../../compiler/tile/tile.js"

type Sizes = Readonly<Record<string, number>>

/** A kernel that stores `value` over `axes`; its loads are of bf16. */
function kernelOf(sizes: Sizes, axes: string, value: (at: (buffer: string, axes: string) => Expression) => Expression) {
  const buffers: KernelBuffer[] = []
  const buffer = (name: string, axes: string, storage: "bf16" | "f32") =>
    buffers.push({ name, dtype: "f32", storage, shape: [...axes].map((a) => sizes[a]!) })
  const variables = (axes: string) => [...axes].map((a) => variable(a))
  const stored = value((name, axes) => {
    buffer(name, axes, "bf16")
    return load(name, variables(axes), "f32")
  })
  buffer("y", axes, "f32")
  const own = [...axes].map((name) => ({ name, extent: literal(sizes[name]!) }))
  const store: Store = { kind: "store", buffer: "y", axes: own, index: variables(axes), value: stored }
  return { store, kernel: { name: "counted", spans: [], buffers, items: [store] } satisfies Kernel }
}

/** y[r, s, c] = sum_k(x[r, s, k] · w[c, k]) */
const product = (sizes: Sizes) =>
  kernelOf({ r: 1, k: 512, ...sizes }, "rsc", (at) =>
    reduce("k", literal(512), sum, [mul(at("x", "rsk"), at("w", "ck"))]),
  )

/** y[r, s, c] = Σ of `values` weighed values over the sum of their weights */
const online = (sizes: Sizes, values: number) =>
  kernelOf({ r: 1, t: 512, e: 64, ...sizes }, "rsc", (at) => {
    const score = reduce("e", literal(64), sum, [mul(at("q", "rse"), at("k", "te"))])
    const weighed = Array.from({ length: values }, (_, i) => at(`v${i}`, "tc"))
    const fold = reduce("t", literal(512), onlineMonoid("exp", 1 + values), [score, literal(1, "f32"), ...weighed])
    const sums = weighed.map((_, i) => component(fold, i + 2))
    return apply(
      "div",
      sums.reduce((p, q) => apply("add", p, q)),
      component(fold, 1),
    )
  })

/** Bytes that a block takes of the workgroup's memory, and registers of a lane for what is added up in fragments. */
function taken(kernel: Kernel, { threads, schedule }: Chunked) {
  const options = { maxGroups: 65536, sharedBytes: 1 << 24 }
  const loops = tile(kernel, { threads, stores: [schedule as StoreSchedule], locals: {} }, options)
  if (isRefusal(loops)) throw new Error(loops.why)
  const all = everyStatement(loops.body).flatMap((s) => (s.kind === "alloc" ? [s] : []))
  const shared = all.filter((s) => s.space === "shared")
  const sums = all.filter((s) => s.space === "register" && s.layout?.operand === "c")
  return {
    bytes: shared.reduce((n, s) => n + s.size * storageBytes(s.storage ?? s.dtype), 0),
    sums: sums.reduce((n, s) => n + s.size, 0),
  }
}

const named = (stem: string) => [...atoms.keys()].filter((n) => n.startsWith(stem) && n.endsWith(".bf16"))
const shapes = [
  { s: 128, c: 128 },
  { s: 128, c: 80 },
  { s: 128, c: 176 },
  { s: 64, c: 24 },
  { r: 3, s: 32, c: 96 },
  { r: 2, s: 100, c: 200 },
]

test.each(["mma", "wgmma"])(
  "blocks of %s take the bytes that are counted, and no more registers than there are",
  (stem) => {
    let [products, onlines] = [0, 0]
    for (const sizes of shapes)
      withTable(() => {
        const check = (kernel: Kernel, most: number, choose: (sharedBytes: number) => Chunked | undefined): number => {
          const chosen = choose(1 << 24)
          if (chosen === undefined) return 0
          const { bytes, sums } = taken(kernel, chosen)
          expect(sums, JSON.stringify(sizes)).toBeLessThanOrEqual(most)
          expect(choose(bytes), JSON.stringify(sizes)).toEqual(chosen)
          expect(choose(bytes - 1), JSON.stringify(sizes)).not.toEqual(chosen)
          return 1
        }
        const target = { names: named(stem), storage: "bf16", cores: 1 } as const
        const { store, kernel } = product(sizes)
        products += check(kernel, atomRules.sums, (sharedBytes) =>
          atomSchedule(store, kernel, { ...target, sharedBytes }),
        )
        for (const values of [1, 2]) {
          const { store, kernel } = online(sizes, values)
          const choose = (sharedBytes: number) => onlineAtomSchedule(store, kernel, { ...target, sharedBytes })
          onlines += check(kernel, atomRules.online.sums, choose)
        }
      })
    expect(products).toBeGreaterThan(3)
    expect(onlines).toBeGreaterThan(3)
  },
)

/** Rows × columns of the block that an H200 is given, of a product with so many rows, columns and k. */
test.each([
  [512, 4096, 4096, "128 × 128"],
  [512, 12288, 4096, "128 × 128"],
  [1000, 4096, 4096, "256 × 128"],
  [4096, 4096, 12288, "256 × 128"],
  [300, 300, 304, "64 × 64"],
])("of %i × %i of %i blocks are over first of %s", (s, c, k, block) => {
  withTable(() => {
    const { store, kernel } = kernelOf({ s, c, k }, "sc", (at) =>
      reduce("k", literal(k), sum, [mul(at("x", "sk"), at("w", "ck"))]),
    )
    const target = { names: named("wgmma"), storage: "bf16", cores: 132, sharedBytes: 226 * 1024 } as const
    const scheduleBy = (boxes: boolean) => atomSchedule(store, kernel, { ...target, boxes })!.schedule
    const { tile, atom } = scheduleBy(true)
    expect(`${tile.s!.block} × ${tile.c!.block}`).toBe(block)
    expect([atom!.boxes, scheduleBy(false).atom!.boxes]).toEqual([true, undefined])
  })
})
