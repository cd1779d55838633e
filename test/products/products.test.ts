/**
 * Contractions that occur in no model of language are left to matrix units by the same rules, and are what plain TypeScript computes: their loops,
 * in the interpreter.
 */
import { expect, test } from "vitest"
import { compileProgram } from "../../compiler/compile.js"
import { loadModel } from "../../compiler/frontend/load.js"
import { loadProgram } from "../../runtime/program.js"
import { interpretedDevice } from "../support/interpreted.js"
import { generator } from "../targets/wasm-support.js"
import type * as Programs from "./programs.js"

type Name = keyof typeof Programs
type Read = (name: string, ...at: readonly number[]) => number

const range = (n: number) => Array.from({ length: n }, (_, i) => i)
const total = (n: number, of: (i: number) => number) => range(n).reduce((sum, i) => sum + of(i), 0)

/** Shapes of the inputs, and an element of the result. */
const described: Readonly<
  Record<
    Name,
    {
      readonly shapes: Readonly<Record<string, readonly number[]>>
      readonly shape: readonly number[]
      readonly at: (read: Read, ...at: number[]) => number
    }
  >
> = {
  bilinear: {
    shapes: { x: [20, 8], form: [24, 8, 10], z: [20, 10] },
    shape: [20, 24],
    at: (read, b, o) => total(8, (i) => total(10, (j) => read("x", b, i) * read("form", o, i, j) * read("z", b, j))),
  },
  convolution: {
    shapes: { image: [5, 7, 8], kernel: [24, 3, 3, 8] },
    shape: [5, 7, 24],
    at: (read, y, x, o) =>
      total(3, (dy) =>
        total(3, (dx) => total(8, (c) => read("image", y + dy - 1, x + dx - 1, c) * read("kernel", o, dy, dx, c))),
      ),
  },
  distances: {
    shapes: { p: [40, 40], q: [50, 40], counts: [40, 50] },
    shape: [40, 50],
    at: (read, i, j) => (read("counts", i, j) > 0 ? total(40, (c) => (read("p", i, c) - read("q", j, c)) ** 2) : -1),
  },
}

test.each(Object.keys(described) as Name[])("%s", async (name) => {
  const { shapes, shape, at } = described[name]
  const programs = (await loadModel("test/products/programs.ts")).module as typeof Programs
  const options = { target: "cuda", storage: () => "f32" as const, precision: "fast", verify: true } as const
  const compilation = compileProgram(programs[name], name, options)
  expect(compilation.kernels.some((k) => k.schedule.stores.some((s) => s.atom !== undefined))).toBe(true)
  const random = generator(7)
  const inputs = Object.fromEntries(
    Object.entries(shapes).map(([input, sizes]) => {
      const size = sizes.reduce((a, b) => a * b)
      const isMask = input === "counts"
      const values = range(size).map(() => (isMask ? Math.round(random()) : 2 * random() - 1))
      return [input, isMask ? Int32Array.from(values) : Float32Array.from(values)]
    }),
  )
  const read: Read = (input, ...index) => {
    const sizes = shapes[input]!
    if (index.some((i, axis) => i < 0 || i >= sizes[axis]!)) return 0
    return inputs[input]![index.reduce((flat, i, axis) => flat * sizes[axis]! + i, 0)]!
  }
  using program = await loadProgram(compilation.artifact, { device: interpretedDevice(compilation, "loop", 32) })
  const { y } = await program.run(inputs)
  const wrong = range(shape.reduce((a, b) => a * b)).filter((flat) => {
    const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((x, size) => x * size, 1))
    const index = shape.map((size, axis) => Math.floor(flat / strides[axis]!) % size)
    // Operands of 32 bits are sums of two of 16: products are off by 2^-15 of themselves at most.
    return !(Math.abs((y!.data as Float32Array)[flat]! - at(read, ...index)) <= 2 ** -9)
  })
  expect(wrong.slice(0, 5)).toEqual([])
})
