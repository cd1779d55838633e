/** Products and fills to run: layouts of both kinds of atoms, shapes of any size, what goes in, and whether what comes out is right. */
import fc from "fast-check"
import { allocateBuffer, type Memory, roundToStorage, writeElement } from "../../compiler/interpret/memory.js"
import { extentAt } from "../../compiler/ir/dim.js"
import type { LoopKernel } from "../../compiler/ir/loop.js"
import { generator } from "../targets/wasm-support.js"
import { type FillShape, fillKernel, fillPlaces } from "./fills.js"
import { type ProductShape, productKernel } from "./products.js"

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

export const layouts: readonly Layout[] = [
  warps([32, 32], [2, 1], 3),
  warps([64, 32], [1, 2], 2),
  warps([32, 64], [2, 2], 4, "f16"),
  warps([16, 64], [1, 2], 3),
  groups(64, [64, 64], [1, 1], 3),
  groups(64, [128, 128], [2, 1], 4),
  groups(128, [64, 128], [1, 1], 5),
  { ...warps([32, 64], [2, 1], 3, "f16"), across: true },
  { ...groups(64, [64, 128], [1, 2], 4), across: true },
  { ...groups(128, [64, 128], [1, 1], 3), across: true },
  { ...groups(64, [128, 64], [1, 1], 3), held: true },
]

export interface Case<S> {
  readonly shape: S
  readonly kernel: LoopKernel
  readonly memories: ReadonlyMap<string, Memory>
}

function memoriesBy({ buffers }: LoopKernel, value: (at: number) => number): ReadonlyMap<string, Memory> {
  return new Map(
    buffers.map(({ name, storage, access, size }) => {
      const memory = allocateBuffer("f32", storage, extentAt(size, new Map()))
      if (access === "read") for (let i = 0; i < memory.size; i++) writeElement(memory, i, value(i))
      return [name, memory]
    }),
  )
}

const integer = (random: () => number) => Math.floor(random() * 5) - 2

/** Small integers in what a kernel reads. */
export function memoriesOf(kernel: LoopKernel, at: number): ReadonlyMap<string, Memory> {
  const random = generator(at)
  return memoriesBy(kernel, () => integer(random))
}

/** `whole`: small integers, whose sums are the same in any order and however they are rounded. */
export function productCase(shape: ProductShape, at: number, whole = false): Case<ProductShape> {
  const kernel = productKernel(shape)
  const random = generator(at)
  const memories = memoriesBy(kernel, () => (whole ? integer(random) : random() * 4 - 2))
  return { shape, kernel, memories }
}

type Sizes = Pick<ProductShape, "rows" | "columns" | "depth" | "result" | "across">

/** The same sums in the same order, by one lane. */
function expected({ shape, memories }: Case<Sizes>): Float32Array {
  const { rows, columns, depth, result, across } = shape
  const [a, b] = ["a", "b"].map((name) => memories.get(name)!.values) as [Float32Array, Float32Array]
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

export function wrongProduct(c: Case<Sizes>, y: ArrayLike<number> | undefined): readonly string[] {
  if (y === undefined) return ["memory around the buffers was written"]
  const wanted = expected(c)
  const at = wanted.findIndex((x, i) => !Object.is(x + 0, y[i]! + 0))
  return at < 0 ? [] : [`y[${at}] is ${y[at]}, not ${wanted[at]}, of ${JSON.stringify(c.shape)}`]
}

const sizes = fc.integer({ min: 1, max: 300 })
export const productShapes: fc.Arbitrary<ProductShape> = fc
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

/** One shape of each layout with rests on all sides. */
export const oddShapes: readonly ProductShape[] = layouts.map((layout, i) => ({
  ...layout,
  rows: 70,
  columns: 66,
  depth: 8 * (36 + i),
  result: "f32",
}))

export function fillCase(shape: FillShape): Case<FillShape> {
  const kernel = fillKernel(shape)
  // So many that neighbours along rows and columns differ, and no more than halves tell apart.
  return { shape, kernel, memories: memoriesBy(kernel, (i) => i % 251) }
}

export function wrongFill({ shape, memories }: Case<FillShape>, y: ArrayLike<number> | undefined): readonly string[] {
  const x = memories.get("x")!.values
  const at = y === undefined ? 0 : fillPlaces(shape).findIndex((from, k) => x[from] !== y[k])
  return at < 0 ? [] : [`y[${at}] is ${y?.[at]}, of ${JSON.stringify(shape)}`]
}
