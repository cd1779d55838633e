/** Products by subgroup matrices as WGSL: both spellings are valid, and offsets are seen to be the same for all lanes of a subgroup. */
import { describe, expect, test } from "vitest"
import { add, apply, literal, load, mul, reduce, variable, withTable } from "../../compiler/ir/expression.js"
import type { Kernel } from "../../compiler/ir/kernel.js"
import { sum } from "../../compiler/ir/monoid.js"
import type { Expression } from "../../compiler/ir/nodes.js"
import type { Schedule } from "../../compiler/ir/schedule.js"
import { clean } from "../../compiler/loop/clean.js"
import { dropBarriers } from "../../compiler/loop/drop-barriers.js"
import { hoistInvariants } from "../../compiler/loop/hoist-invariants.js"
import { mergeLoads } from "../../compiler/loop/merge-loads.js"
import { numbersFirst } from "../../compiler/loop/numbers-first.js"
import { firstPossible } from "../../compiler/schedule/fallbacks.js"
import { targetFor } from "../../compiler/targets/target.js"
import { emitWgsl } from "../../compiler/targets/wgsl/emit.js"
import { defaultWgslLimits } from "../../compiler/targets/wgsl/limits.js"
import { isRefusal, tile } from "../../compiler/tile/tile.js"
import { validateWgsl } from "../../runtime/devices/webgpu/validate.js"
import type { MatrixSpelling } from "../../runtime/matrices.js"
import { productKernel } from "../laws/product-loops.js"
import type { Product } from "../laws/products.js"

const atom = "subgroup.m16n16k16.f16"
const limits = { ...defaultWgslLimits, subgroups: true, subgroupSize: 32, f16: true, workgroupBytes: 49152 }

const product: Product = {
  rows: 40,
  columns: 56,
  depth: 24,
  atom,
  groups: [2, 2],
  fragments: [1, 2],
  chunk: 32,
  stages: 2,
  turned: [false, true],
  staging: "copies",
  swizzled: false,
  filling: "fill",
  left: "shared",
  behind: 0,
  launched: 2,
}
const sourceOf = (given: Product, matrices: MatrixSpelling = "template", isPlain = false) =>
  withTable(() => {
    const kernel = productKernel(given)
    const made = isPlain ? kernel : mergeLoads(hoistInvariants(clean(kernel)))
    return emitWgsl(made, { symbolOrder: [], limits: { ...limits, atoms: [atom] }, unrollable: true, matrices }).source
  })

/** 40 rows and 56 columns, beyond whose ends blocks of 32 × 32 go, and a bias. */
function contraction(
  order: "kn" | "nk",
  [m, n, k]: readonly [number, number, number] = [40, 56, 72],
  changed = (x: Expression): Expression => x,
): Kernel {
  const buffer = (name: string, storage: "f16" | "f32", ...shape: number[]) =>
    ({ name, dtype: "f32", storage, shape }) as const
  const at = (from: string, ...axes: string[]) =>
    load(
      from,
      axes.map((a) => variable(a)),
      "f32",
    )
  const axes = [
    { name: "m", extent: literal(m) },
    { name: "n", extent: literal(n) },
  ]
  const value = add(
    reduce("k", literal(k), sum, [
      mul(changed(at("a", "m", "k")), order === "kn" ? at("b", "k", "n") : at("b", "n", "k")),
    ]),
    at("bias", "n"),
  )
  return {
    name: "contraction",
    spans: [],
    buffers: [
      buffer("a", "f16", m, k),
      order === "kn" ? buffer("b", "f16", k, n) : buffer("b", "f16", n, k),
      buffer("bias", "f32", n),
      buffer("y", "f32", m, n),
    ],
    items: [{ kind: "store", buffer: "y", axes, index: axes.map((a) => variable(a.name)), value }],
  }
}

const scheduleOf = (stages: number): Schedule => ({
  threads: 64,
  stores: [
    {
      atom: { name: atom },
      tile: { m: { block: 32 }, n: { block: 32 } },
      warps: { n: 2 },
      reduce: { k: { chunk: 32, ...(stages > 1 ? { stages } : {}) } },
    },
  ],
  locals: {},
})

describe("subgroup matrices", () => {
  test("fragments are variables, halves are elements, offsets are those of the subgroup", () => {
    const source = sourceOf(product)
    const lines = source.split("\n").map((line) => line.trim())
    for (const line of [
      "enable f16;",
      "enable chromium_experimental_subgroup_matrix;",
      "requires subgroup_id;",
      "let subgroup = i32(subgroup_id);",
      "var of_c_0: subgroup_matrix_result<f32, 16, 16>;",
      "var of_c_1: subgroup_matrix_result<f32, 16, 16>;",
      "of_c_1 = subgroupMatrixMultiplyAccumulate(of_a_0, of_b_1, of_c_1);",
    ])
      expect(lines).toContain(line)
    expect(source).toMatch(/var<workgroup> staged_a: array<f16, \d+>;/)
    expect(source).toMatch(/subgroupMatrixLoad<subgroup_matrix_left<f16, 16, 16>, row_major>\(&staged_a, u32\(/)
    expect(source).toMatch(/subgroupMatrixStore<row_major>\(&drained, u32\(.*\), of_c_0, u32\(16\)\);/)
    for (const line of lines.filter((l) => l.includes("subgroupMatrix"))) expect(line).not.toMatch(/\blane\b/)
  })

  test("both spellings of loads and stores are valid, before the passes over loops and after", async () => {
    const shapes: readonly Product[] = [
      product,
      { ...product, turned: [true, false], staging: "stores", groups: [1, 2] },
      { ...product, groups: [1, 1], fragments: [2, 3], chunk: 16 },
      { ...product, groups: [2, 1], turned: [true, true], stages: 3 },
    ]
    const sources = shapes.flatMap((shape, i) =>
      // Of the older one its compiler says each time that it is.
      (i === 1 ? (["template", "argument"] as const) : (["template"] as const)).flatMap((spelling) =>
        [false, true].map((isPlain) => ({
          name: `${i} ${spelling} ${isPlain}`,
          source: sourceOf(shape, spelling, isPlain),
        })),
      ),
    )
    expect(sources.some(({ source }) => /, true, u32\(\d+\)\)/.test(source))).toBe(true)
    expect(await validateWgsl(sources)).toEqual([])
    const wrong = sources[0]!.source.replace("i32(subgroup_id)", "i32(local_index) / 32")
    expect((await validateWgsl([{ name: "of a lane", source: wrong }]))[0]?.message).toMatch(/uniform/)
  })

  test("what is tiled and staged is valid, and halves are moved as they lie", async () => {
    const sources = withTable(() =>
      [1, 2, 3].flatMap((stages) =>
        (["kn", "nk"] as const).map((order) => {
          const loops = tile(contraction(order), scheduleOf(stages), { maxGroups: 64, sharedBytes: 49152 })
          if (isRefusal(loops)) throw new Error(loops.why)
          const made = dropBarriers(mergeLoads(numbersFirst(hoistInvariants(clean(loops)))))
          const { source } = emitWgsl(made, { symbolOrder: [], limits: { ...limits, atoms: [atom] }, unrollable: true })
          return { name: `${stages} ${order}`, source }
        }),
      ),
    )
    for (const { source } of sources) {
      expect(source).toMatch(/= bitcast<vec4<f16>>\(\w+\.xy\);/)
      expect(source).not.toContain("widenF16")
      expect(source).not.toContain("subgroup * 32")
    }
    expect(await validateWgsl(sources)).toEqual([])
  })

  test("rules choose them for what is stored in f16, and for what is among such values", () => {
    const adapter = { subgroupSize: 32, workgroupBytes: 49152, storageBuffers: 16, f16: true } as const
    const chosen = (matrices: boolean, changed?: (x: Expression) => Expression) =>
      withTable(() => {
        const { schedule, tile } = targetFor(
          "webgpu",
          { ...adapter, ...(matrices ? { matrices: "template" } : {}) },
          "fast",
        )
        const found = firstPossible(contraction("nk", [4096, 4096, 4096], changed), schedule, tile)
        if (!("tiled" in found)) throw new Error(found.why)
        return found.schedule.stores[0]!
      })
    expect(chosen(true)).toMatchObject({
      atom: { name: atom },
      tile: { m: { block: 128 }, n: { block: 128 } },
      warps: { m: 2, n: 2 },
      reduce: { k: { chunk: 32 } },
    })
    const { tile, reduce } = chosen(true)
    expect(chosen(false).atom).toBeUndefined()
    for (const name of ["neg", "abs"] as const)
      expect(chosen(true, (x) => apply(name, x))).toMatchObject({ atom: { name: atom }, tile, reduce })
    expect(chosen(true, (x) => apply("max", x, literal(0.5, "f32"))).atom).toEqual({ name: atom })
    // The square of 300 is beyond f16, and so may be what is added up; 1e5 is as well.
    for (const far of [(x: Expression) => mul(x, x), (x: Expression) => add(x, x)])
      expect(chosen(true, far).atom).toBeUndefined()
    expect(chosen(true, (x) => apply("max", x, literal(1e5, "f32"))).atom).toBeUndefined()
  })

  test("an adapter without them refuses", () => {
    const kernel = withTable(() => productKernel(product))
    expect(() => emitWgsl(kernel, { symbolOrder: [], limits })).toThrow(/WGSL does not have/)
  })
})
