/** The layouts of atoms are those of the PTX ISA, and what follows from them; the rules of what lanes do together. */
import { describe, expect, test } from "vitest"
import { evaluate, literal, variable } from "../../compiler/ir/expression.js"
import { atoms, fragmentSize, shapeOf } from "../../compiler/ir/fragments/atoms.js"
import {
  at,
  beside,
  coordinatesOf,
  foldOf,
  type Layout,
  lanes,
  registers,
  same,
} from "../../compiler/ir/fragments/layout.js"

/** An element of a fragment, as the PTX ISA says it: by the lane and the number of the element. */
type Isa = (lane: number, i: number) => readonly [row: number, column: number]
const div = (a: number, b: number) => Math.floor(a / b)

/** "Matrix Fragments for mma.m16n8k16 with floating point type": groupID = lane >> 2, threadID_in_group = lane % 4. */
const warpOf: Readonly<Record<"a" | "b" | "c", Isa>> = {
  // row = groupID for ai where 0 <= i < 2 || 4 <= i < 6, else groupID + 8; col = threadID · 2 + (i & 1), + 8 for ai where i >= 4
  a: (lane, i) => [
    (i >= 0 && i < 2) || (i >= 4 && i < 6) ? lane >> 2 : (lane >> 2) + 8,
    i < 4 ? (lane % 4) * 2 + (i & 1) : (lane % 4) * 2 + (i & 1) + 8,
  ],
  // row = threadID · 2 + (i & 1), + 8 for bi where i >= 2; col = groupID
  b: (lane, i) => [i < 2 ? (lane % 4) * 2 + (i & 1) : (lane % 4) * 2 + (i & 1) + 8, lane >> 2],
  // row = groupID for ci where i < 2, else groupID + 8; col = threadID · 2 + (i & 1)
  c: (lane, i) => [i < 2 ? lane >> 2 : (lane >> 2) + 8, (lane % 4) * 2 + (i & 1)],
}

/** "Register Fragments for wgmma.mma_async.m64nNk16": figures of A (16 columns) and D. Warp w has rows 16 w to 16 w + 15. */
const warpgroupOf: Readonly<Record<"a" | "c", Isa>> = {
  a: (lane, i) => [
    16 * div(lane, 32) + 8 * (div(i, 2) % 2) + div(lane % 32, 4),
    8 * div(i, 4) + 2 * (lane % 4) + (i % 2),
  ],
  // d0 d1 are columns 0 and 1 of a row, d2 d3 the same of the row 8 below, d4 … eight columns on.
  c: (lane, i) => [
    16 * div(lane, 32) + 8 * (div(i, 2) % 2) + div(lane % 32, 4),
    8 * div(i, 4) + 2 * (lane % 4) + (i % 2),
  ],
}

const known = [...atoms.values()].flatMap((atom) =>
  (["a", "b", "c"] as const).flatMap((name) => {
    const { layout } = atom[name]
    return layout === undefined ? [] : [{ atom, name, layout }]
  }),
)

/** The first element about which a layout and the ISA differ. */
function difference(layout: Layout, isa: Isa): string | undefined {
  for (let lane = 0; lane < lanes(layout); lane++)
    for (let i = 0; i < registers(layout); i++) {
      const { row, column } = coordinatesOf(layout, lane, i)
      const [r, c] = isa(lane, i)
      if (row !== r || column !== c) return `lane ${lane}, element ${i}: ${row}, ${column}, not ${r}, ${c}`
    }
  return undefined
}

const isaOf = (atom: string, name: "a" | "b" | "c"): Isa =>
  atom.startsWith("mma") ? warpOf[name] : warpgroupOf[name as "a" | "c"]

describe("layouts", () => {
  test.each(known)("$atom.name, $name: as the PTX ISA has it, each element once", ({ atom, name, layout }) => {
    expect(difference(layout, isaOf(atom.name, name))).toBeUndefined()
    const { rows, columns } = shapeOf(atom, name)
    expect([layout.rows, layout.columns, registers(layout), lanes(layout)]).toEqual([
      rows,
      columns,
      fragmentSize(atom, name),
      atom.lanes,
    ])
    const all = Array.from({ length: rows * columns }, (_, i) => {
      const { row, column } = coordinatesOf(layout, i % atom.lanes, div(i, atom.lanes))
      return row * columns + column
    })
    expect(new Set(all).size).toBe(rows * columns)
  })

  test.each(known)("$atom.name, $name: two entries that change places are another table", ({ atom, name, layout }) => {
    const bits = [...layout.lane, ...layout.register]
    for (let i = 0; i < bits.length; i++)
      for (let j = 0; j < i; j++) {
        const swapped = bits.with(i, bits[j]!).with(j, bits[i]!)
        const lane = swapped.slice(0, layout.lane.length)
        const wrong = { ...layout, lane, register: swapped.slice(layout.lane.length) }
        expect(difference(wrong, isaOf(atom.name, name))).toBeDefined()
      }
  })

  test("coordinates as expressions are those in numbers, of any lane of the workgroup", () => {
    const [lane, register] = [variable("lane"), variable("register")]
    for (const { layout } of known) {
      const general = at(layout, lane, register)
      for (let l = 0; l < 2 * lanes(layout); l += 7)
        for (let i = 0; i < registers(layout); i += registers(layout) > 8 ? 5 : 1) {
          const expected = coordinatesOf(layout, l % lanes(layout), i)
          const values = new Map([
            ["lane", l],
            ["register", i],
          ])
          const fixed = at(layout, lane, i)
          for (const { row, column } of [general, fixed])
            expect({ row: evaluate(row, values), column: evaluate(column, values) }).toEqual(expected)
          expect(at(layout, literal(l), i)).toEqual({ row: literal(expected.row), column: literal(expected.column) })
        }
    }
  })

  test("two results side by side are the left operand of a further product", () => {
    for (const name of ["mma.m16n8k16.bf16", "mma.m16n8k16.f16"]) {
      const { a, c } = atoms.get(name)!
      expect(same(beside(c.layout!, "column", 2, "register"), a.layout!)).toBe(true)
      expect(same(c.layout!, a.layout!)).toBe(false)
    }
    // Of 128 lanes sixteen columns of the result, which are its first eight registers.
    const { a, c } = atoms.get("wgmma.m64n64k16.bf16")!
    expect({ ...c.layout!, columns: 16, register: c.layout!.register.slice(0, 3) }).toEqual(a.layout)
    expect(same(atoms.get("wgmma.m64n64k16.bf16")!.c.layout!, atoms.get("wgmma.m64n128k16.bf16")!.c.layout!)).toBe(
      false,
    )
  })

  test("in a row of 128 columns that one subgroup has, the column 64 on is another register of the same lane", () => {
    const row = beside(atoms.get("mma.m16n8k16.bf16")!.c.layout!, "column", 16, "register")
    expect(row.columns).toBe(128)
    for (let i = 0; i < registers(row); i++) {
      const [here, there] = [coordinatesOf(row, 21, i), coordinatesOf(row, 21, i ^ 32)]
      expect(there).toEqual({ row: here.row, column: (here.column + 64) % 128 })
    }
  })

  test("folds: registers, then lanes across masks, then subgroups", () => {
    const { c } = atoms.get("mma.m16n8k16.bf16")!
    expect(foldOf(c.layout!, "column")).toEqual({
      registers: [
        [0, 1],
        [2, 3],
      ],
      masks: [1, 2],
      beyond: [],
    })
    expect(foldOf(c.layout!, "row")).toEqual({
      registers: [
        [0, 2],
        [1, 3],
      ],
      masks: [4, 8, 16],
      beyond: [],
    })
    const wide = beside(beside(c.layout!, "column", 2, "register"), "column", 4, "lane")
    expect(foldOf(wide, "column")).toEqual({
      registers: [
        [0, 1, 4, 5],
        [2, 3, 6, 7],
      ],
      masks: [1, 2],
      beyond: [32, 64],
    })
    expect(foldOf(atoms.get("wgmma.m64n64k16.bf16")!.c.layout!, "row").beyond).toEqual([32, 64])
  })

  test.each(["row", "column"] as const)("a fold over the %s makes the sums of a matrix", (axis) => {
    const warps = beside(atoms.get("mma.m16n8k16.bf16")!.c.layout!, "column", 4, "lane")
    for (const layout of [warps, ...known.filter((k) => k.atom.n < 128).map((k) => k.layout)]) {
      const { registers: lists, masks, beyond } = foldOf(layout, axis)
      const value = (lane: number, i: number) => {
        const { row, column } = coordinatesOf(layout, lane, i)
        return 3 * row * row + 7 * row * column + column
      }
      for (const list of lists) {
        let sums = Array.from({ length: lanes(layout) }, (_, lane) => list.reduce((s, i) => s + value(lane, i), 0))
        for (const distance of [...masks, ...beyond]) sums = sums.map((s, lane) => s + sums[lane ^ distance]!)
        for (const [lane, sum] of sums.entries()) {
          const { row, column } = coordinatesOf(layout, lane, list[0]!)
          const along = axis === "row" ? layout.rows : layout.columns
          const expected = Array.from({ length: along }, (_, i) =>
            axis === "row" ? 3 * i * i + 7 * i * column + column : 3 * row * row + 7 * row * i + i,
          ).reduce((s, x) => s + x, 0)
          expect(sum).toBe(expected)
        }
      }
    }
  })
})
