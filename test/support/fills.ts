/**
 * Kernels that show where each lane holds what it has filled a fragment with: it stores its elements where the layout says that they belong, so
 * that what comes out is what went in.
 */
import { add, apply, fetch, literal, mul, variable } from "../../compiler/ir/expression.js"
import { atoms, fragmentSize, shapeOf } from "../../compiler/ir/fragments/atoms.js"
import { at } from "../../compiler/ir/fragments/layout.js"
import type { LoopKernel, OperandName, Statement } from "../../compiler/ir/loop.js"
import { bound, buffer, serial, store } from "../targets/wasm-support.js"

const n = literal
const v = (name: string) => variable(name)

export interface FillShape {
  readonly atom: string
  readonly operand: OperandName
  readonly transposed: boolean
  /** Fragments, one behind the other along the rows of the array. */
  readonly count: number
  /** Whether they come from shared memory, and how that is swizzled; from a buffer where left out. */
  readonly shared?: 32 | 64 | 128 | "plain"
  /** Elements before each row's first: where there are some, rows do not begin at multiples of 16 bytes. */
  readonly odd?: number
}

/** Buffers x, an array that fragments are filled from, and y, each fragment in rows and columns of the atom. */
export function fillKernel({ atom: name, operand, transposed, count, shared, odd = 0 }: FillShape): LoopKernel {
  const atom = atoms.get(name)!
  const { rows, columns } = shapeOf(atom, operand)
  const { layout, storage } = atom[operand]
  const size = fragmentSize(atom, operand)
  const stride = Math.max(64, transposed ? rows : columns)
  const lines = (transposed ? columns : rows) * count
  const elements = lines * stride + 8
  const held = storage === "f32" ? {} : { storage }
  const swizzle = shared === undefined || shared === "plain" ? {} : { swizzle: shared }
  const { row, column } = at(layout!, v("l"), v("e"))
  const own = add(mul(add(mul(v("f"), n(rows)), row), n(columns)), column)
  const width = storage === "f32" ? 4 : 8
  const piece = mul(add(mul(v("s"), n(atom.lanes)), v("l")), n(width))
  const move: Statement = {
    kind: "if",
    condition: apply("lt", piece, n(elements)),
    body: [store("xs", piece, fetch("x", piece, "f32", width))],
    otherwise: [],
  }
  const copied: readonly Statement[] =
    shared === undefined ? [] : [serial("s", Math.ceil(elements / width / atom.lanes), [move]), { kind: "barrier" }]
  const body: readonly Statement[] = [
    ...copied,
    {
      kind: "alloc",
      name: "f0",
      dtype: "f32",
      ...held,
      size: count * size,
      space: "register",
      layout: { atom: name, operand },
    },
    {
      kind: "fill",
      atom: name,
      operand,
      to: { array: "f0", offset: n(0) },
      from: { array: shared === undefined ? "x" : "xs", offset: n(odd) },
      stride: n(stride),
      transposed,
      count,
      step: (transposed ? columns : rows) * stride,
    },
    bound("unroll", "f", count, [
      bound("unroll", "e", size, [store("y", own, fetch("f0", add(mul(v("f"), n(size)), v("e")), "f32"))]),
    ]),
  ]
  const inside = [bound("lane", "l", atom.lanes, body)]
  const alloc: Statement = {
    kind: "alloc",
    name: "xs",
    dtype: "f32",
    ...held,
    size: elements,
    space: "shared",
    ...swizzle,
  }
  const grid = bound("grid", "cell", 1, shared === undefined ? inside : [alloc, ...inside])
  const buffers = [buffer("x", storage, elements), buffer("y", "f32", count * rows * columns, "write")]
  return { name: "fill", buffers, symbols: [], threads: atom.lanes, groups: 1, body: [grid] }
}

/** The place in x of each element of y. */
export function fillPlaces({ atom: name, operand, transposed, count, odd = 0 }: FillShape): readonly number[] {
  const { rows, columns } = shapeOf(atoms.get(name)!, operand)
  const stride = Math.max(64, transposed ? rows : columns)
  const places: number[] = []
  for (let f = 0; f < count; f++)
    for (let r = 0; r < rows; r++)
      for (let c = 0; c < columns; c++) {
        const [line, along] = transposed ? [c, r] : [r, c]
        places.push(odd + (f * (transposed ? columns : rows) + line) * stride + along)
      }
  return places
}

/** Every operand with a layout of every atom: by matrices and element by element, one fragment and several. */
export const fillShapes: readonly FillShape[] = [...atoms.values()]
  // Layouts do not depend on the storage.
  .filter(({ name }) => name.startsWith("mma") || name.endsWith("bf16"))
  .flatMap((atom) =>
    (["a", "b", "c"] as const).flatMap((operand) =>
      atom[operand].layout === undefined
        ? []
        : [false, true].map((transposed) => ({ atom: atom.name, operand, transposed })),
    ),
  )
  .flatMap((shape, i): readonly FillShape[] => {
    const shared = ([32, 64, 128, "plain"] as const)[i % 4]!
    const wide = shape.operand === "c" && shape.atom.startsWith("wgmma")
    return [
      { ...shape, count: 1, shared },
      ...(wide
        ? []
        : [
            { ...shape, count: 3, shared: 128 } as const,
            { ...shape, count: 2, shared, odd: 1 },
            { ...shape, count: 1 },
          ]),
    ]
  })
