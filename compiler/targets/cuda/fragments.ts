/**
 * What lanes do together with fragments, as CUDA: products on matrix units, and what fills and empties fragments.
 *
 *   multiply c[4i] += a[0] * b[4j] by mma.m16n8k16.bf16   →   multiply_mma_m16n8k16_bf16(c + (i * 4), a + 0, b + (j * 2));
 *   fill b[0] = tile[o] stride 64 transposed, 2 by 512    →   load_matrices_4(b + 0, swizzled<128>(tile, …));
 *
 * A fill from halves in shared memory is one instruction for four matrices of 8 × 8: each lane names a row of one of them, 16 bytes in a row, and
 * gets two elements of each. Where the layout, the storage or the places are others, each lane loads its elements one by one.
 */
import { fault } from "../../../runtime/errors.js"
import { add, apply, fetch, literal, mul, variable } from "../../ir/expression.js"
import { type Atom, atoms, fragmentSize } from "../../ir/fragments/atoms.js"
import { at, type Bit, type Layout, type TileAxis } from "../../ir/fragments/layout.js"
import {
  isTile,
  type LoopKernel,
  type Place,
  type Statement,
  type StatementOf,
  storageBytes,
  type Tile,
} from "../../ir/loop.js"
import type { Expression } from "../../ir/nodes.js"
import type { Context } from "../text/dialect.js"
import { factorOf } from "../text/factors.js"
import { printBody } from "../text/statements.js"
import { type ArrayFacts, placeTexts } from "./arrays.js"
import { productName } from "./products.js"

/** What the printing of these statements knows of its kernel. */
export interface Fragments {
  readonly kernel: LoopKernel
  readonly arrays: ReadonlyMap<string, ArrayFacts>
  /** Asks for a part of the prelude. */
  readonly use: (part: string) => void
}

/** The number of this lane in its workgroup, and a name for it that no program has. */
const laneName = "=lane_number()"

export function printMultiply(c: Context, known: Fragments, s: StatementOf<"multiply">): void {
  const atom = atoms.get(s.atom)!
  known.use(atom.name)
  // Where a tile begins its elements lie as they are counted: the instruction knows how rows go on from there.
  const [to, ...operands] = placeTexts(c, known.arrays, [s.c, s.a, s.b], true) as [string, string, string]
  const texts = [s.a, s.b].map((operand, i) =>
    isTile(operand) ? tileText(known, atom, i === 0 ? "a" : "b", operand, operands[i]!) : operands[i]!,
  )
  const turned = [s.a, s.b].map((operand, i) => (isTile(operand) && isTurned(operand, i === 0 ? "a" : "b") ? 1 : 0))
  const given = [...(atom.asynchronous ? turned : []), ...(s.fresh === true ? [1] : [])]
  const name = `${productName(atom.name)}${given.length > 0 ? `<${given.join(", ")}>` : ""}`
  c.line(`${name}(${[to, ...texts].join(", ")});`)
}

/** Whether the folded axis goes from row to row of memory. */
const isTurned = ({ transposed }: Tile, operand: "a" | "b"): boolean => (operand === "a") === transposed

function tileText(known: Fragments, atom: Atom, operand: "a" | "b", tile: Tile, first: string): string {
  const { swizzle, storage } = known.arrays.get(tile.array)!
  const bytes = tile.stride * storageBytes(storage)
  const refuse = (what: string) => fault(`a tile of '${tile.array}' ${what}: ${atom.name} does not take it`)
  if (swizzle !== bytes) throw refuse(`has rows of ${bytes} bytes and is swizzled by ${swizzle ?? 0}`)
  if (!isTurned(tile, operand)) return `tile_of_rows<${bytes}>(${first})`
  const isWide = (operand === "a" ? atom.m : atom.n) > tile.stride
  if (isWide && tile.panel === undefined) throw refuse("is wider than its rows")
  const further = isWide ? `, ${tile.panel! * storageBytes(storage)}` : ""
  return `tile_of_columns<${bytes}${further}>(${first})`
}

export function printFill(c: Context, known: Fragments, s: StatementOf<"fill">): void {
  const atom = atoms.get(s.atom)!
  const { layout, storage } = atom[s.operand]
  if (layout === undefined) throw fault(`only hardware knows where ${atom.name} has '${s.operand}'`)
  const from = known.arrays.get(s.from.array)!
  const rows = rowsOf(layout, s.transposed)
  const isAligned = [s.from.offset, s.stride, literal(s.step)].every(
    (x) => factorOf(c.dialect.lowered(c, x)[0]!, c.definitions) % 8 === 0,
  )
  if (rows !== undefined && from.space === "shared" && from.storage === storage && storage !== "f32" && isAligned)
    printLoads(c, known, s, { ...rows, each: fragmentSize(atom, s.operand) })
  else printElements(c, s, layout, fragmentSize(atom, s.operand))
}

/** How lanes name the rows of the matrices of a fragment. */
interface Rows {
  /** What a lane's number says of the row that it names: its row of a matrix, the matrix of a fragment, the warp of its group. */
  readonly named: Layout
  /** Matrices of a fragment. */
  readonly matrices: number
  /** Whether lanes get what lies in a column of a matrix as it lies in memory. */
  readonly turned: boolean
}

const matrix = { rows: 8, bits: 3 }
/** Lanes of a warp name the rows of so many matrices. */
const mostMatrices = 4

/** Where a lane holds pairs of each row of 8 × 8 elements, four lanes a row, as the instruction gives them out; undefined elsewhere. */
function rowsOf(layout: Layout, transposed: boolean): Rows | undefined {
  const { axis: pair } = layout.register[0]!
  const other: TileAxis = pair === "row" ? "column" : "row"
  const expected: readonly Bit[] = [
    { axis: pair, bit: 0 },
    ...[1, 2].map((bit) => ({ axis: pair, bit })),
    ...[0, 1, 2].map((bit) => ({ axis: other, bit })),
  ]
  const found = [layout.register[0]!, ...layout.lane.slice(0, 5)]
  if (expected.some(({ axis, bit }, i) => found[i]?.axis !== axis || found[i]?.bit !== bit)) return undefined
  const turned = pair !== (transposed ? "row" : "column")
  const rows = Array.from({ length: matrix.bits }, (_, bit): Bit => ({ axis: turned ? pair : other, bit }))
  const [numbers, warps] = [layout.register.slice(1), layout.lane.slice(5)]
  if (numbers.length > 2 || (numbers.length < 2 && warps.length > 0)) return undefined
  return { named: { ...layout, lane: [...rows, ...numbers, ...warps] }, matrices: 2 ** numbers.length, turned }
}

const lane = (c: Context): Expression => {
  c.nonNegative.add(laneName)
  return variable(laneName)
}

/** Element (row, column) of the tile. */
const elementOf = (
  s: StatementOf<"fill" | "drain">,
  memory: Place,
  { row, column }: ReturnType<typeof at>,
): Expression => {
  const [across, along] = s.transposed ? [column, row] : [row, column]
  return add(memory.offset, add(mul(across, s.stride), along))
}

function printLoads(
  c: Context,
  known: Fragments,
  s: StatementOf<"fill">,
  rows: Rows & { readonly each: number },
): void {
  known.use("matrices")
  const together = mostMatrices / rows.matrices
  for (let first = 0; first < s.count; ) {
    const count = Math.min(together, s.count - first)
    const behind = apply("floormod", apply("floordiv", lane(c), literal(matrix.rows * rows.matrices)), literal(count))
    const fragment = count === 1 ? literal(first) : add(literal(first), behind)
    const element = elementOf(s, s.from, at(rows.named, lane(c), 0))
    const [to, from] = placeTexts(c, known.arrays, [
      { array: s.to.array, offset: add(s.to.offset, literal(first * rows.each)) },
      { array: s.from.array, offset: add(element, mul(fragment, literal(s.step))) },
    ])
    c.line(`load_${rows.turned ? "turned_" : ""}matrices_${count * rows.matrices}(${to}, ${from});`)
    first += count
  }
}

/** Each lane by itself, element by element. */
function printElements(c: Context, s: StatementOf<"fill" | "drain">, layout: Layout, each: number): void {
  const [fragment, register] = ["fragment of lane", "element of lane"]
  const [count, step] = s.kind === "fill" ? [s.count, s.step] : [1, 0]
  const [held, memory] = s.kind === "fill" ? [s.to, s.from] : [s.from, s.to]
  const own = add(held.offset, add(mul(variable(fragment), literal(each)), variable(register)))
  const there = add(
    elementOf(s, memory, at(layout, lane(c), variable(register))),
    mul(variable(fragment), literal(step)),
  )
  const [to, from] = s.kind === "fill" ? [own, there] : [there, own]
  const value = fetch(s.from.array, from, "f32")
  const element: Statement = { kind: "store", array: s.to.array, offset: to, value }
  const over = (name: string, extent: number, body: Statement): Statement => ({
    kind: "for",
    variable: name,
    extent: literal(extent),
    bind: "unroll",
    body: [body],
  })
  printBody(c, [over(fragment, count, over(register, each, element))])
}

export function printDrain(c: Context, s: StatementOf<"drain">): void {
  const atom = atoms.get(s.atom)!
  const { layout } = atom.c
  if (layout === undefined) throw fault(`only hardware knows where ${atom.name} has its results`)
  printElements(c, s, layout, fragmentSize(atom, "c"))
}
