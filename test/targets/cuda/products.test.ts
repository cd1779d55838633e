/**
 * Products on matrix units, printed as CUDA and run on a processor: any sizes, both kinds of atoms, against plain sums of the same numbers. What
 * can be wrong in such a text is planted and found.
 */
import fc from "fast-check"
import { beforeAll, describe, expect, it } from "vitest"
import { allocateBuffer, type Memory, roundToStorage, writeElement } from "../../../compiler/interpret/memory.js"
import { extentAt } from "../../../compiler/ir/dim.js"
import { runs, seed } from "../../laws/settings.js"
import { type FillShape, fillKernel, fillPlaces, fillShapes } from "../../support/fills.js"
import { type ProductShape, productKernel } from "../../support/products.js"
import { generator } from "../wasm-support.js"
import { compilerPresent, type Launch, runCuda, textOf } from "./run.js"

const present = compilerPresent()

type Layout = Pick<ProductShape, "atom" | "block" | "groups" | "stages" | "across" | "held">
const warps = (block: Layout["block"], groups: Layout["groups"], stages: number, storage = "bf16"): Layout => ({
  atom: `mma.m16n8k16.${storage}`,
  block,
  groups,
  stages,
})
const groups = (wide: number, block: Layout["block"], groups: Layout["groups"], stages: number): Layout => ({
  atom: `wgmma.m64n${wide}k16.bf16`,
  block,
  groups,
  stages,
})

const layouts: readonly Layout[] = [
  warps([32, 32], [2, 1], 3),
  warps([64, 32], [1, 2], 2),
  warps([32, 64], [2, 2], 4, "f16"),
  warps([16, 64], [1, 2], 3),
  groups(64, [64, 64], [1, 1], 3),
  groups(64, [128, 128], [2, 1], 4),
  groups(128, [64, 128], [1, 1], 5),
  { ...warps([32, 64], [2, 1], 3, "f16"), across: true },
  { ...groups(64, [64, 128], [1, 2], 4), across: true },
  { ...groups(64, [128, 64], [1, 1], 3), held: true },
]

interface Case {
  readonly shape: ProductShape
  readonly launch: Launch
}

function caseOf(shape: ProductShape, at: number): Case {
  const kernel = productKernel(shape)
  const random = generator(at)
  const memories = new Map<string, Memory>(
    kernel.buffers.map(({ name, storage, access }) => {
      const size = { a: shape.rows * shape.depth, b: shape.columns * shape.depth, y: shape.rows * shape.columns }[name]!
      const memory = allocateBuffer("f32", storage, size)
      if (access === "read") for (let i = 0; i < size; i++) writeElement(memory, i, random() * 4 - 2)
      return [name, memory]
    }),
  )
  return { shape, launch: { kernel, memories, symbols: new Map() } }
}

/** The same sums in the same order, by one lane. */
function expected({ shape: { rows, columns, depth, result, across }, launch }: Case): Float32Array {
  const [a, b] = ["a", "b"].map((name) => launch.memories.get(name)!.values) as [Float32Array, Float32Array]
  const y = new Float32Array(rows * columns)
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < columns; j++) {
      let sum = 0
      for (let k = 0; k < depth; k++)
        sum = Math.fround(sum + a[i * depth + k]! * b[across ? k * columns + j : j * depth + k]!)
      y[i * columns + j] = roundToStorage(result, sum)
    }
  return y
}

function wrongOf(c: Case, after: ReadonlyMap<string, Memory> | undefined): readonly string[] {
  if (after === undefined) return ["memory around the buffers was written"]
  const [wanted, found] = [expected(c), after.get("y")!.values]
  const at = wanted.findIndex((x, i) => !Object.is(x + 0, found[i]! + 0))
  return at < 0 ? [] : [`y[${at}] is ${found[at]}, not ${wanted[at]}, of ${JSON.stringify(c.shape)}`]
}

function fillOf(shape: FillShape, at: number) {
  const kernel = fillKernel(shape)
  const memories = new Map(
    kernel.buffers.map(({ name, storage, size }) => {
      const memory = allocateBuffer("f32", storage, extentAt(size, new Map()))
      if (name === "x") for (let i = 0; i < memory.size; i++) writeElement(memory, i, ((i + at) % 4093) - 2000)
      return [name, memory]
    }),
  )
  return { shape, launch: { kernel, memories, symbols: new Map() } satisfies Launch }
}

/** What a printer, or a schedule, may do wrong. */
const faults: Readonly<Record<string, (text: string) => string>> = {
  "rows swizzled otherwise where they are read": (text) =>
    text
      .replaceAll(/(load_matrices_4\([^<]*swizzled)<128>/g, "$1<64>")
      .replaceAll("tile_of_rows<128>", "tile_of_rows<64>"),
  "a result in another row": (text) => text.replace(/(row = .*)% 2\) \* 8\)/, "$1% 2) * 4)"),
  "no barrier": (text) => text.replace("barrier();", ""),
  "a wait for one group less": (text) => text.replace(/wait_copies<(\d)>/, (_, n) => `wait_copies<${Number(n) + 1}>`),
  "rows beyond the end": (text) => text.replaceAll(/, (bool\()?\(?\(m0 \+ [^;]*;/g, ");"),
  "columns for rows": (text) => text.replaceAll("load_matrices_4(fb", "load_turned_matrices_4(fb"),
  "operands in one another's place": (text) => text.replaceAll("(t * 16)", "(t * 8)"),
  "the stage before": (text) => text.replaceAll("(now * ", "(next * "),
  "products that go on": (text) => text.replace("wait_products<0>", "wait_products<1>"),
  "products of a stage that is filled": (text) => text.replace("wait_products<1>", "wait_products<3>"),
  "products before registers are there": (text) => text.replace("begin_products();", ""),
  "operands that are not shown": (text) => text.replace("show_products();", ""),
}

const sizes = fc.integer({ min: 1, max: 300 })
const shapes = fc
  .record({
    rows: sizes,
    columns: sizes,
    depth: fc.oneof(
      sizes,
      fc.integer({ min: 1, max: 37 }).map((n) => 8 * n),
    ),
    layout: fc.constantFrom(...layouts),
    result: fc.constantFrom("f32" as const, "bf16" as const),
    band: fc.constantFrom(1, 2),
  })
  .map(({ layout, ...own }): ProductShape => ({ ...layout, ...own }))

/** One shape of each layout with rests on all sides, for faults. */
const odd = layouts.map((layout, i) =>
  caseOf({ ...layout, rows: 70, columns: 66, depth: 8 * (36 + i), result: "f32" }, i + 1),
)
const faulty = Object.entries(faults).flatMap(([fault, change]) =>
  odd
    .filter(({ launch }) => change(textOf(launch.kernel)) !== textOf(launch.kernel))
    .filter((_, i, all) => i === 0 || i === all.length - 1)
    .map((c) => ({ ...c, fault, launch: { ...c.launch, fault: change } })),
)

describe.skipIf(!present)("products on matrix units as CUDA", () => {
  const random = fc.sample(shapes, { seed, numRuns: runs(4) }).map((shape, i) => caseOf(shape, i + 100))
  const fills = fillShapes.map(fillOf)
  const all = [...odd, ...random, ...faulty, ...fills]
  let after: ReturnType<typeof runCuda>
  beforeAll(() => {
    after = runCuda(all.map(({ launch }) => launch))
  })

  it("of any size, are plain sums", () => {
    console.log(`products: ${random.length} of random sizes, WEFT_SEED=${seed}`)
    expect([...odd, ...random].flatMap((c, i) => wrongOf(c, after[i]))).toEqual([])
  })

  it("fills: each lane has what the layout says, of every operand of every atom", () => {
    const wrong = fills.filter(({ shape, launch }, i) => {
      const [x, y] = [launch.memories.get("x")!.values, after[all.length - fills.length + i]?.get("y")?.values]
      return y === undefined || fillPlaces(shape).some((from, k) => x[from] !== y[k])
    })
    expect(wrong.map(({ shape }) => shape)).toEqual([])
    const texts = fills.map(({ launch }) => textOf(launch.kernel))
    for (const name of ["load_matrices_2", "load_matrices_4", "load_turned_matrices_2", "load_turned_matrices_4"])
      expect(texts.filter((text) => text.includes(`${name}(`)).length, name).toBeGreaterThan(0)
  })

  it.each(Object.keys(faults))("find in the text: %s", (fault) => {
    const found = faulty.filter(
      (c, i) => c.fault === fault && wrongOf(c, after[odd.length + random.length + i]).length > 0,
    )
    expect(found).not.toEqual([])
  })
})
